// Package docs_test checks what the documents say of the tree against the tree.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The tree of architecture.md names every package folder of internal, and no
// other.
func TestTreeNamesEveryPackage(t *testing.T) {
	text := read(t, "architecture.md")
	_, tree, ok := strings.Cut(text, "    internal/\n")
	if !ok {
		t.Fatal("architecture.md has no tree of internal/")
	}
	tree, _, _ = strings.Cut(tree, "\n    deploy/")
	var named []string
	for line := range strings.Lines(tree) {
		// A line of a package begins with its folder; what describes it may
		// go on below, further to the right. Several folders may share a line.
		if !strings.HasPrefix(line, "      ") || strings.HasPrefix(line, "       ") {
			continue
		}
		for _, word := range strings.Fields(line) {
			folder, is := strings.CutSuffix(word, "/")
			if !is {
				break
			}
			named = append(named, folder)
		}
	}
	entries, err := os.ReadDir("../internal")
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, e := range entries {
		if e.IsDir() {
			there = append(there, e.Name())
		}
	}
	slices.Sort(named)
	if !slices.Equal(named, there) {
		t.Errorf("architecture.md names\n%v\ninternal has\n%v", named, there)
	}
}

var inCode = regexp.MustCompile("`([^`\n]+)`")

// Files that architecture.md and CONTRIBUTING.md name are there.
func TestNamedFilesExist(t *testing.T) {
	for _, document := range []string{"architecture.md", "../CONTRIBUTING.md"} {
		for _, m := range inCode.FindAllStringSubmatch(read(t, document), -1) {
			name := m[1]
			if !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".ts") && !strings.HasSuffix(name, ".js") {
				continue
			}
			found := false
			// A file of the stage that a sentence is about may stand alone.
			for _, pattern := range []string{"../" + name, "../internal/" + name, "../internal/*/" + name} {
				matches, err := filepath.Glob(pattern)
				if err != nil {
					t.Fatal(err)
				}
				found = found || len(matches) > 0
			}
			if !found {
				t.Errorf("%s names %s, which is not there", document, name)
			}
		}
	}
}
