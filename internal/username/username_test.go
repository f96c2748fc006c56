package username

import (
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"Aki": "aki", " aki ": "aki", "ＡＫＩ": "aki", "STRASSE": "strasse", "straße": "strasse",
		"飛脚": "飛脚", "ﾊﾟﾝﾀﾞ": "パンダ", "o.brien-2_x": "o.brien-2_x", "İpek": "i̇pek",
	} {
		if got, err := Canonical(in); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for in, code := range map[string]chat.Code{
		"": chat.CodeInvalid, "  ": chat.CodeInvalid, "a": chat.CodeInvalid, "a b": chat.CodeInvalid,
		".ab": chat.CodeInvalid, "ab-": chat.CodeInvalid, "a/b": chat.CodeInvalid, "a\u202eb": chat.CodeInvalid,
		"a\u200bb": chat.CodeInvalid, "\xff\xff": chat.CodeInvalid, "🙂🙂": chat.CodeInvalid,
		strings.Repeat("a", 33): chat.CodeTooLarge,
	} {
		if got, err := Canonical(in); chat.CodeOf(err) != code {
			t.Errorf("%q: %q, %v; want %s", in, got, err, code)
		}
	}
}

func TestLookAlikesShareASkeleton(t *testing.T) {
	for _, group := range [][]string{
		{"paypal", "PayPal", "p\u0430ypal", "p\u0430yp\u0430l"}, // Cyrillic а
		{"rnary", "mary"},
		{"bi1l", "bill"},
		{"siobhan", "siobhán", "Siobha\u0301n", "siobhàn"},
		{"soren", "søren"},
		{"たなか", "タナカ", "ﾀﾅｶ", "タナ力", "たな\u529b"}, // the last two with the kanji for power
	} {
		want := ""
		for _, name := range group {
			canonical, err := Canonical(name)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			got := Skeleton(canonical)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%q looks like %q, %q like %q", name, got, group[0], want)
			}
		}
	}
	for _, pair := range [][2]string{{"aki", "ben"}, {"かき", "がき"}, {"कि", "की"}} {
		if Skeleton(pair[0]) == Skeleton(pair[1]) {
			t.Errorf("%s looks like %s", pair[0], pair[1])
		}
	}
}

func TestNew(t *testing.T) {
	if canonical, skeleton, err := New("Siobhán"); canonical != "siobhán" || skeleton != Skeleton("siobhan") || err != nil {
		t.Errorf("%q, %q, %v", canonical, skeleton, err)
	}
	for name, code := range map[string]chat.Code{
		"System": chat.CodeNameTaken, "ＨＥＲＥ": chat.CodeNameTaken, "systém": chat.CodeNameTaken, "a b": chat.CodeInvalid,
	} {
		if _, _, err := New(name); chat.CodeOf(err) != code {
			t.Errorf("%q: %v, want %s", name, err, code)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"Aki", "ＡＫＩ", "飛脚", "a.b", "İ", "ﬁ", "\u0345"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Canonical(s)
		if err != nil {
			return
		}
		again, err := Canonical(c)
		if err != nil || again != c {
			t.Fatalf("%q became %q, and that %q (%v)", s, c, again, err)
		}
		if Skeleton(c) == "" {
			t.Fatalf("%q looks like nothing", c)
		}
	})
}
