package chat

import (
	"strings"
	"unicode"
)

// isVisible reports whether a text shows anything at all. The page looks in the same
// way (isVisible in web/src/text/characters.ts).
func isVisible(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsSpace(r) && !unicode.IsControl(r) && !isIgnorable(r)
	})
}

// firstInvisible returns the first character of a text that is neither a space nor a
// control character, or else its first one.
func firstInvisible(text string) (first rune) {
	for _, r := range text {
		if isIgnorable(r) {
			return r
		}
		if first == 0 {
			first = r
		}
	}
	return first
}

const (
	brailleBlank        = 0x2800 // a pattern without dots
	interlinearFirst    = 0xFFF9 // annotation marks are shown where they are not understood
	interlinearLast     = 0xFFFB
	hieroglyphJoinFirst = 0x13430
	hieroglyphJoinLast  = 0x1345F
)

// isIgnorable reports whether nothing is shown for r: the property
// Default_Ignorable_Code_Point, which package unicode has the parts of, and the blank
// of Braille.
func isIgnorable(r rune) bool {
	switch {
	case r == brailleBlank:
		return true
	case r >= interlinearFirst && r <= interlinearLast, r >= hieroglyphJoinFirst && r <= hieroglyphJoinLast:
		return false
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r):
		return false
	}
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Cf)
}
