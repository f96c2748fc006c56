package wire

import (
	"unicode"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// MaxPreview is how many bytes of a message's text a [Preview] has at most.
const MaxPreview = 512

// Preview is a message as a list of conversations shows it: of a long text it has
// the beginning.
type Preview struct {
	Message
	Clipped bool `json:"clipped,omitempty" doc:"body is the beginning of a longer text; the whole is in the messages of the conversation"`
}

// PreviewOf returns the preview of m.
func PreviewOf(m *chat.Message) Preview {
	p := Preview{Message: MessageOf(m)}
	p.Body = clip(p.Body, MaxPreview)
	p.Clipped = len(p.Body) < len(m.Body)
	return p
}

// clip returns at most n bytes of the beginning of a text. It ends between two
// characters as people see them, unless one of them is longer than half of n.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	cut := n
	for cut > n/2 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	for at := cut; at > n/2; {
		before, size := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at:])
		if !joined(before, after) && (!isRegional(before) || !isRegional(after) || regionalsBefore(text[:at])%2 == 0) {
			return text[:at]
		}
		at -= size
	}
	return text[:cut]
}

// joined reports whether two code points that follow each other are seen as one
// character.
func joined(before, after rune) bool {
	const joiner = '\u200d'
	return before == joiner || after == joiner || before == '\r' && after == '\n' ||
		unicode.In(after, unicode.M) || after >= 0x1F3FB && after <= 0x1F3FF // shades of skin
}

// isRegional reports whether r is half of a flag.
func isRegional(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }

// regionalsBefore counts the halves of flags at the end of a text.
func regionalsBefore(text string) (n int) {
	for {
		r, size := utf8.DecodeLastRuneInString(text)
		if !isRegional(r) {
			return n
		}
		text, n = text[:len(text)-size], n+1
	}
}
