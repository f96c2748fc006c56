package password

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// commonText has the 10,000 most frequent passwords of those that zxcvbn collected
// (https://github.com/dropbox/zxcvbn, MIT), in lower case, one in a line, sorted.
//
//go:embed common.txt
var commonText string

var common = sync.OnceValue(func() []string { return strings.Fields(commonText) })

// minStem is the number of characters from which on a common password is looked for
// within another: shorter ones are in too many good ones.
const minStem = 4

// minDistinct is how many different characters a password has at least.
const minDistinct = 5

// Check returns a refusal unless a password is long enough, not too long, and not
// among the first that are guessed for an account of this name: a frequent password,
// or the account's or the installation's name, also with digits and punctuation
// around it, or the same few characters again and again (NIST SP 800-63B, 5.1.1.2).
// Apart from that people may choose any characters. The name is in its canonical form.
func Check(password, name string) error {
	switch {
	case utf8.RuneCountInString(password) < chat.MinPassword:
		return chat.Refuse(chat.CodeInvalid, "password", "must have at least %d characters", chat.MinPassword)
	case len(password) > chat.MaxPassword:
		return chat.Refuse(chat.CodeTooLarge, "password", "may have %d bytes", chat.MaxPassword)
	case isGuessed(strings.ToLower(password), name):
		return chat.Refuse(chat.CodeWeakPassword, "password", "is among the first that are guessed; choose several words that have nothing to do with each other")
	}
	return nil
}

func isGuessed(password, name string) bool {
	distinct := map[rune]bool{}
	for _, r := range password {
		distinct[r] = true
	}
	if len(distinct) < minDistinct || isCommon(password) {
		return true
	}
	stem := strings.TrimFunc(password, func(r rune) bool { return !unicode.IsLetter(r) })
	return utf8.RuneCountInString(stem) >= minStem && (isCommon(stem) || stem == name || stem == "hikyaku") || password == name
}

func isCommon(s string) bool {
	_, found := slices.BinarySearch(common(), s)
	return found
}
