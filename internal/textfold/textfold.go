// Package textfold folds text for search.
package textfold

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns the form of text that search compares: case-folded, and with one
// form for characters that Unicode can encode in several ways (full-width letters,
// accents).
func Fold(text string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(text)))
}
