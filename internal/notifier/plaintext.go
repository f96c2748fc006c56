package notifier

import (
	"regexp"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// maxSource is how many bytes of a message are looked at for its notification.
const maxSource = 2 << 10

// markup is the Markdown that people write most, and what is left of it in a
// notification, where nothing renders it. What is not in pairs stays as it is.
var markup = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile("(?m)^ {0,3}(?:```|~~~).*$"), ""},
	{regexp.MustCompile(`(?m)^ {0,3}(?:#{1,6}|>)[ \t]+`), ""},
	{regexp.MustCompile(`\[([^\[\]\n]+)\]\([^()\s]+\)`), "$1"},
	{regexp.MustCompile("`([^`\n]+)`"), "$1"},
	{regexp.MustCompile(`\*\*([^*\s]|[^*\s][^*\n]*[^*\s])\*\*`), "$1"},
	{regexp.MustCompile(`~~([^~\s]|[^~\s][^~\n]*[^~\s])~~`), "$1"},
}

// plainText returns the beginning of a message as a notification shows it: on one
// line, without Markdown. A text of nothing but Markdown stays.
func plainText(body string) string {
	if len(body) > maxSource {
		body = strings.ToValidUTF8(body[:maxSource], "")
	}
	text := body
	for _, m := range markup {
		text = m.pattern.ReplaceAllString(text, m.replacement)
	}
	if strings.TrimSpace(text) == "" {
		text = body
	}
	return notifyqueue.Preview(text)
}
