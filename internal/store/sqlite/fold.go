package sqlite

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// fold gives text as search compares it: without case, and with one spelling
// for what Unicode can spell in several ways (full-width letters, accents).
func fold(text string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(text)))
}
