package notifier

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"Hello **Ben**, see `make test`":      "Hello Ben, see make test",
		"**「強調」**という意味":                       "「強調」という意味",
		"# Title\n\n> quoted\n> again":        "Title quoted again",
		"```js\nx < y\n```":                   "x < y",
		"see [the docs](https://example.org)": "see the docs",
		"~~old~~ new":                         "old new",
		"2 ** 3 ** 4, snake_case_name":        "2 ** 3 ** 4, snake_case_name",
		"f(*args, **kwargs)":                  "f(*args, **kwargs)",
		"#general and a > b":                  "#general and a > b",
		"```":                                 "```",
		"[mika]: ok":                          "[mika]: ok",
	} {
		if got := plainText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := plainText(strings.Repeat("飛**", 6000)); !utf8.ValidString(got) {
		t.Errorf("cut inside a character: %q", got)
	}
}
