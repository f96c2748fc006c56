package textfold_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// The page folds names by itself, and is tested with the same ones (web/src/text/fold.test.ts).
func TestFind(t *testing.T) {
	type nameCase struct{ Query, Name string }
	var cases struct{ Found, NotFound []nameCase }
	data, err := os.ReadFile("testdata/names.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	finds := func(c nameCase) bool {
		return strings.Contains(textfold.Fold(c.Name), textfold.Query(c.Query))
	}
	for _, c := range cases.Found {
		if !finds(c) {
			t.Errorf("%q (%q) does not find %q (%q)", c.Query, textfold.Query(c.Query), c.Name, textfold.Fold(c.Name))
		}
	}
	for _, c := range cases.NotFound {
		if finds(c) {
			t.Errorf("%q finds %q", c.Query, c.Name)
		}
	}
	if len(cases.Found) == 0 || len(cases.NotFound) == 0 {
		t.Error("testdata/names.json has no cases")
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
