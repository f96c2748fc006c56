// Package textfold knows how text is compared when people look for something.
package textfold

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold gives text as search compares it: without case, and with one spelling
// for what Unicode can spell in several ways (full-width letters, accents).
func Fold(text string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(text)))
}
