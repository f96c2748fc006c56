package textfold_test

import (
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

func TestFind(t *testing.T) {
	for _, c := range []struct{ query, name string }{
		{"siobhan", "Siobhán"},
		{"muller", "MÜLLER"},
		{"strasse", "Straße"},
		{"ipek", "İpek"},
		{"isik", "Işık"},
		{"lodz", "Łódź"},
		{"soren", "Søren"},
		{"nguyen", "Nguyễn"},
		{"andre", "Andre\u0301"},
		{"たなか", "ﾀﾅｶ"},
		{"たなか", "タナカ"},
		{"ﾀﾅｶ", "たなか"},
		{"ﾊﾞﾝﾄﾞｳ", "ばんどう"},
		{"ｂｅｎ", "Ben"},
		{"@ben", "ben"},
		{"＠ben ", "ben"},
		{"#general", "general"},
		{"김", "김민준"},
		{"σοφια", "Σοφία"},
		{"елка", "Ёлка"},
		{"שלום", "שָׁלוֹם"},
		{"", "anybody"},
	} {
		if !strings.Contains(textfold.Fold(c.name), textfold.Query(c.query)) {
			t.Errorf("%q (%q) does not find %q (%q)", c.query, textfold.Query(c.query), c.name, textfold.Fold(c.name))
		}
	}
	for _, c := range []struct{ query, name string }{
		{"はんとう", "ばんどう"}, // other syllables
		{"देव", "दव"},    // vowels
		{"ben", "Bén-less ban"[5:]},
		{"a@b", "ab"},
	} {
		if strings.Contains(textfold.Fold(c.name), textfold.Query(c.query)) {
			t.Errorf("%q finds %q", c.query, c.name)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"", "İ", "ﾊﾞ", "ŉ", "ﷺ", "\u1e9b\u0323", "\xff", "각", "ΐ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := textfold.Fold(s)
		if again := textfold.Fold(once); again != once {
			t.Errorf("%q folds to %q, and that to %q", s, once, again)
		}
	})
}
