package notifyqueue_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

func TestPreview(t *testing.T) {
	long := strings.Repeat("飛", notifyqueue.MaxPreview)
	for in, want := range map[string]string{
		"":                          "",
		"hello":                     "hello",
		"  hello \r\n\t world \n ":  "hello world",
		"**bold** `code`":           "**bold** `code`",
		"a\x00b\u2028c\x7fd":        "a b c d",
		"\xff\xfe broken \xc3":      "broken",
		long:                        long,
		long + "\n ":                long,
		long + "脚":                  long + "…",
		strings.Repeat("x", 16<<10): strings.Repeat("x", notifyqueue.MaxPreview) + "…",
	} {
		if got := notifyqueue.Preview(in); got != want || !utf8.ValidString(got) {
			t.Errorf("%.20q: %q", in, got)
		}
	}
}
