package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

var (
	ruleStart  = regexp.MustCompile(`(?m)^\*\*R(\d+)\.\*\*`)
	ruleNamed  = regexp.MustCompile(`\bR(\d+)\b`)
	proofs     = regexp.MustCompile(`\((Cases?|Tests?): [^)]*\)`)
	caseNamed  = regexp.MustCompile(`\*([^*]+)\*`)
	testNamed  = regexp.MustCompile("`([a-z0-9/]+)\\.(Test\\w+)`")
	headingAt  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	linkInPage = regexp.MustCompile(`\]\(#([^)]+)\)`)
)

// rule is a numbered rule of protocol.md.
type rule struct {
	number int
	text   string // up to the next rule or heading
}

func rulesOf(text string) (rules []rule) {
	starts := ruleStart.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		body := text[at[1]:end]
		if heading := headingAt.FindStringIndex(body); heading != nil {
			body = body[:heading[0]]
		}
		number, _ := strconv.Atoi(text[at[2]:at[3]])
		rules = append(rules, rule{number, body})
	}
	return rules
}

// The rules of protocol.md are numbered 1, 2, 3 …, and whatever names a rule names
// one that is there.
func TestRulesAreNumbered(t *testing.T) {
	text := read(t, "protocol.md")
	rules := rulesOf(text)
	if len(rules) == 0 {
		t.Fatal("protocol.md has no rules")
	}
	for i, r := range rules {
		if r.number != i+1 {
			t.Fatalf("R%d stands where R%d is due", r.number, i+1)
		}
	}
	for _, m := range ruleNamed.FindAllStringSubmatch(text, -1) {
		if n, _ := strconv.Atoi(m[1]); n < 1 || n > len(rules) {
			t.Errorf("there is no R%s", m[1])
		}
	}
}

// A rule that names a case or a test names one that is there, and each case is
// named by a rule: what the server is held to is written down.
func TestRulesNameTheirTests(t *testing.T) {
	cases := acceptance.Names()
	named := map[string]bool{}
	for _, r := range rulesOf(read(t, "protocol.md")) {
		found := 0
		for _, c := range casesOf(r.text) {
			found++
			named[c] = true
			if !slices.Contains(cases, c) {
				t.Errorf("R%d names the case %q, which is none of %q", r.number, c, cases)
			}
		}
		for _, test := range testsOf(r.text) {
			found++
			if err := findTest(test[0], test[1]); err != nil {
				t.Errorf("R%d: %v", r.number, err)
			}
		}
		if claims := strings.Count(r.text, "Case: ") + strings.Count(r.text, "Cases: ") + strings.Count(r.text, "Test: ") + strings.Count(r.text, "Tests: "); claims > 0 && found < claims {
			t.Errorf("R%d claims %d kinds of tests, and %d names can be read: %s", r.number, claims, found, r.text)
		}
	}
	for _, c := range cases {
		if !named[c] {
			t.Errorf("no rule names the case %q", c)
		}
	}
}

// proofOf returns what stands in the parentheses that name cases and tests.
func proofOf(text string) string { return strings.Join(proofs.FindAllString(text, -1), " ") }

func casesOf(text string) (names []string) {
	for _, m := range caseNamed.FindAllStringSubmatch(proofOf(text), -1) {
		names = append(names, m[1])
	}
	return names
}

func testsOf(text string) (all [][2]string) {
	for _, m := range testNamed.FindAllStringSubmatch(proofOf(text), -1) {
		all = append(all, [2]string{m[1], m[2]})
	}
	return all
}

// findTest returns an error unless a package has a test.
func findTest(folder, name string) error {
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil {
		return err
	}
	for _, f := range files {
		source, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if strings.Contains(string(source), "\nfunc "+name+"(") {
			return nil
		}
	}
	return fmt.Errorf("%s has no test %s", folder, name)
}

// Links within protocol.md lead to headings.
func TestLinksWithinProtocol(t *testing.T) {
	text := read(t, "protocol.md")
	var anchors []string
	for _, m := range headingAt.FindAllStringSubmatch(text, -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		anchors = append(anchors, anchor)
	}
	for _, m := range linkInPage.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(anchors, m[1]) {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
}

// The digest that protocol.md computes is the one that the server computes.
func TestDigestInProtocol(t *testing.T) {
	s := chat.Submission{Conversation: 7, ReplyTo: 3, Body: "飛脚"}
	if want := "`" + s.Digest().String() + "`"; !strings.Contains(read(t, "protocol.md"), want) {
		t.Errorf("protocol.md does not have %s", want)
	}
}
