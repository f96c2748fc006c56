// Package textfold folds text for search.
package textfold

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns the form of text that search compares: without case, diacritics, and
// the widths of characters; katakana are hiragana. So "siobhan" is in the form of
// "Siobhán", and "たなか" in that of "ﾀﾅｶ".
//
// The stores keep the folded forms of names, and their skeletons (package username),
// which are made of these. A change here comes with migrations in both that make both
// anew: storetx.Refold and storetx.Reskeleton.
func Fold(text string) string {
	folded := cases.Fold().String(norm.NFKC.String(text))
	var b strings.Builder
	for _, r := range norm.NFKD.String(folded) {
		switch {
		case isDiacritic(r):
		case r >= firstKatakana && r <= lastKatakana:
			b.WriteRune(r - firstKatakana + firstHiragana)
		case plainLetters[r] != "":
			b.WriteString(plainLetters[r])
		default:
			b.WriteRune(r)
		}
	}
	return norm.NFKC.String(b.String())
}

// Query returns the folded form of what somebody types to find a name: without the
// space around it, and the @ or # that are written before names but are no part of
// them.
func Query(text string) string {
	return strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(Fold(text)), "@#"))
}

const (
	firstKatakana, lastKatakana = 'ァ', 'ヶ'
	firstHiragana               = 'ぁ'

	voiced, semiVoiced = '\u3099', '\u309A' // they make other syllables of kana
)

// isDiacritic reports whether r is a mark that people leave out when they type a
// name. Those of Indic and other scripts are vowels.
func isDiacritic(r rune) bool {
	return unicode.Is(unicode.Mn, r) && r != voiced && r != semiVoiced &&
		unicode.In(r, unicode.Inherited, unicode.Hebrew, unicode.Arabic)
}

// plainLetters has the folded letters whose mark is a part of them for Unicode.
var plainLetters = map[rune]string{
	'ı': "i", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'ħ': "h", 'ŧ': "t", 'ŋ': "n", 'æ': "ae", 'œ': "oe", 'þ': "th",
}
