package wire

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func TestPreview(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	family := "👩‍👩‍👧‍👦"
	for name, tt := range map[string]struct{ body, want string }{
		"short":                    {"hello", "hello"},
		"just fits":                {x(MaxPreview), x(MaxPreview)},
		"longer":                   {x(MaxPreview + 1), x(MaxPreview)},
		"longest":                  {x(chat.MaxBody), x(MaxPreview)},
		"a code point":             {x(MaxPreview-1) + "飛脚", x(MaxPreview - 1)},
		"an accent":                {x(MaxPreview) + "\u0301y", x(MaxPreview - 1)},
		"a family":                 {x(MaxPreview-5) + family + "y", x(MaxPreview - 5)},
		"a shade of skin":          {x(MaxPreview-4) + "👍🏽", x(MaxPreview - 4)},
		"a flag":                   {x(MaxPreview-4) + "🇯🇵🇫🇷", x(MaxPreview - 4)},
		"after a flag":             {x(MaxPreview-8) + "🇯🇵🇫🇷", x(MaxPreview-8) + "🇯🇵"},
		"the end of a line":        {x(MaxPreview-1) + "\r\ny", x(MaxPreview - 1)},
		"a character without end":  {"a" + strings.Repeat("\u0301", MaxPreview), "a" + strings.Repeat("\u0301", MaxPreview/2-1)},
		"no text, of a tombstone":  {"", ""},
		"nothing but continuation": {strings.Repeat("\x80", MaxPreview+1), strings.Repeat("\x80", MaxPreview/2)},
	} {
		m := chat.Message{Body: tt.body, Seq: 3}
		p := PreviewOf(&m)
		if p.Body != tt.want || p.Clipped != (tt.want != tt.body) || p.Seq != 3 {
			t.Errorf("%s: %d bytes %q, clipped %v; want %d bytes", name, len(p.Body), p.Body, p.Clipped, len(tt.want))
		}
		if utf8.ValidString(tt.body) && !utf8.ValidString(p.Body) {
			t.Errorf("%s: %q is not UTF-8", name, p.Body)
		}
	}
}
