package password

import (
	"slices"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func TestCheck(t *testing.T) {
	for password, want := range map[string]chat.Code{
		"":                        chat.CodeInvalid,
		"ninechars":               chat.CodeInvalid,
		"飛脚飛脚飛脚飛脚飛":               chat.CodeInvalid,
		strings.Repeat("ab", 600): chat.CodeTooLarge,

		"qwertyuiop":       chat.CodeWeakPassword,
		"1234567890":       chat.CodeWeakPassword,
		"Password123":      chat.CodeWeakPassword,
		"2024!dragon!2024": chat.CodeWeakPassword,
		"aaaaaaaaaaaa":     chat.CodeWeakPassword,
		"abababababab":     chat.CodeWeakPassword,
		"mika.tanaka":      chat.CodeWeakPassword,
		"Mika.Tanaka1999!": chat.CodeWeakPassword,
		"hikyaku2026":      chat.CodeWeakPassword,

		"correct horse":            "",
		"correct horse battery":    "",
		"dragons fly over 7 hills": "",
		"7391640285":               "",
		"ひみつのあいことばだよ":              "",
		"kW3#vP9$qL":               "",
		"tanaka mika loves soba":   "",
	} {
		err := Check(password, "mika.tanaka")
		if chat.CodeOf(err) != want {
			t.Errorf("%q: %v; want %q", password, err, want)
		}
	}
}

// A list that is not in order would be searched in vain.
func TestCommonIsSorted(t *testing.T) {
	if n := len(common()); n != 10_000 || !slices.IsSorted(common()) {
		t.Errorf("%d passwords, sorted: %v", n, slices.IsSorted(common()))
	}
	for _, p := range common() {
		if p != strings.ToLower(p) {
			t.Errorf("%q is not in lower case", p)
		}
	}
}
