// Package username gives account names their one spelling, and tells which look
// alike.
package username

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.mau.fi/util/confusable"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// reserved names would be taken for the system's own, or for mentions of many.
var reserved = []string{"me", "system", "hikyaku", "all", "here", "everyone", "channel"}

const punctuation = "._-"

// Canonical gives the one spelling of a name: NFKC (full-width and ligatures
// become plain) and without case. Letters and digits of any script are
// allowed, and . _ - between them.
func Canonical(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", chat.Refuse(chat.CodeInvalid, "name", "must be UTF-8 text")
	}
	canonical := canonical(name)
	switch n := utf8.RuneCountInString(canonical); {
	case n == 0:
		return "", chat.Refuse(chat.CodeInvalid, "name", "must not be empty")
	case n < chat.MinName:
		return "", chat.Refuse(chat.CodeInvalid, "name", "must have at least %d characters", chat.MinName)
	case n > chat.MaxName:
		return "", chat.Refuse(chat.CodeTooLarge, "name", "may have %d characters, this has %d", chat.MaxName, n)
	}
	for _, r := range canonical {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune(punctuation, r) {
			return "", chat.Refuse(chat.CodeInvalid, "name", "may have letters, digits and . _ - only, not %q", r)
		}
	}
	first, _ := utf8.DecodeRuneInString(canonical)
	last, _ := utf8.DecodeLastRuneInString(canonical)
	if strings.ContainsRune(punctuation, last) || (!unicode.IsLetter(first) && !unicode.IsDigit(first)) {
		return "", chat.Refuse(chat.CodeInvalid, "name", "must begin and end with a letter or digit")
	}
	if slices.Contains(reserved, canonical) {
		return "", chat.Refuse(chat.CodeNameTaken, "name", "the name %s is reserved", canonical)
	}
	return canonical, nil
}

// canonical folds until nothing changes: folding can undo normalisation.
func canonical(name string) string {
	s := strings.TrimSpace(name)
	for range 4 {
		next := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
		if next == s {
			break
		}
		s = next
	}
	return s
}

// Skeleton is what a canonical name looks like (UTS #39, section 4): names
// with the same skeleton can be taken for each other. It is for comparing
// only, never for showing.
func Skeleton(canonical string) string {
	// Case is folded once more: the table maps some letters to capitals.
	return cases.Fold().String(confusable.Skeleton(cases.Fold().String(confusable.Skeleton(canonical))))
}
