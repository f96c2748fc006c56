// Package username normalises account names, and finds names that look alike.
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
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// reserved names could be mistaken for the system's own, or for mentions of groups.
var reserved = []string{"me", "system", "hikyaku", "all", "here", "everyone", "channel"}

const punctuation = "._-"

// Canonical returns the canonical form of a name: in NFKC (full-width letters and
// ligatures become plain) and case-folded. Letters and digits of any script are
// allowed, and . _ - between them. A refusal is a *chat.Error.
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
		if unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) { // they show nothing, as the Hangul filler
			return "", chat.Refuse(chat.CodeInvalid, "name", "must not have characters that show nothing, such as %U", r)
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune(punctuation, r) {
			return "", chat.Refuse(chat.CodeInvalid, "name", "may have letters, digits and . _ - only, not %q", r)
		}
	}
	first, _ := utf8.DecodeRuneInString(canonical)
	last, _ := utf8.DecodeLastRuneInString(canonical)
	if strings.ContainsRune(punctuation, last) || (!unicode.IsLetter(first) && !unicode.IsDigit(first)) {
		return "", chat.Refuse(chat.CodeInvalid, "name", "must begin and end with a letter or digit")
	}
	return canonical, nil
}

// New returns the canonical form of the name of a new account, and its skeleton. It
// refuses what [Canonical] refuses, and names that look like the reserved ones.
func New(name string) (canonical, skeleton string, err error) {
	canonical, err = Canonical(name)
	if err != nil {
		return "", "", err
	}
	skeleton = Skeleton(canonical)
	if slices.ContainsFunc(reserved, func(r string) bool { return Skeleton(r) == skeleton }) {
		return "", "", chat.Refuse(chat.CodeNameTaken, "name", "the name %s is reserved", canonical)
	}
	return canonical, skeleton, nil
}

// canonical normalises and folds until nothing changes, because folding can undo
// the normalisation.
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

// Skeleton returns the skeleton of a canonical name (UTS #39, section 4), without the
// marks that people leave out when they type a name: names with the same skeleton
// look alike, or are found by the same words. It is only for comparison, not for
// display.
//
// The stores keep the skeletons of names. A change here comes with a migration in
// both that derives them anew.
func Skeleton(canonical string) string {
	// Twice: the table of what looks alike maps some letters to capitals, and to
	// letters with marks.
	s := canonical
	for range 2 {
		s = confusable.Skeleton(strings.Map(katakana, textfold.Fold(s)))
	}
	return cases.Fold().String(s)
}

// katakana returns the katakana of a hiragana: the table knows which of those look
// like a kanji, such as カ and 力.
func katakana(r rune) rune {
	if r >= 'ぁ' && r <= 'ゖ' {
		return r + 'ァ' - 'ぁ'
	}
	return r
}
