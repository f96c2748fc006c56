package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// deployment returns the text of the files below deploy/ that configure Hikyaku,
// without an operator's own files.
func deployment(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, part := range []string{"README.md", "compose", "docker", "kubernetes"} {
		err := filepath.WalkDir(filepath.Join("../../deploy", part), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "secrets" || d.Name() == "tls"):
				return filepath.SkipDir
			case d.IsDir() || d.Name() == ".env":
				return nil
			}
			text, err := os.ReadFile(path)
			out[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// The command line itself says which variables there are.
func TestDeploymentVariables(t *testing.T) {
	variable := regexp.MustCompile(`\bHIKYAKU_[A-Z_]+`)
	seen := map[string]bool{}
	for path, text := range deployment(t) {
		given := map[string]bool{}
		for _, name := range variable.FindAllString(text, -1) {
			given[name+"="], seen[name] = true, true
		}
		environ := slices.Collect(maps.Keys(given))
		if r := hikyaku(t.Context(), t, "", environ, "version"); r.code != exitOK {
			t.Errorf("%s: Hikyaku refuses to start with it: %s", path, r.err)
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %v were found", seen)
	}
}

// Whoever asks whether a process is ready waits longer than the answer takes,
// or a server that is away would look like a process that does not answer.
func TestDeploymentProbes(t *testing.T) {
	asks := map[string]*regexp.Regexp{
		"compose.yaml": regexp.MustCompile(`"/hikyaku", "healthcheck"\](?s:.{0,300}?)\n +timeout: (\S+)`),
		"Dockerfile":   regexp.MustCompile(`HEALTHCHECK .*--timeout=(\S+) .*"/hikyaku", "healthcheck"`),
		".yaml":        regexp.MustCompile(`path: /readyz, port: http \}\n(?: +periodSeconds: .*\n)? +(timeoutSeconds: \S+)?`),
	}
	found := 0
	for path, text := range deployment(t) {
		ask := asks[filepath.Base(path)]
		if ask == nil {
			ask = asks[filepath.Ext(path)]
		}
		if ask == nil {
			continue
		}
		for _, m := range ask.FindAllStringSubmatch(text, -1) {
			found++
			wait := m[1]
			if seconds, ok := strings.CutPrefix(wait, "timeoutSeconds: "); ok {
				wait = seconds + "s"
			}
			if d, err := time.ParseDuration(wait); err != nil || d <= healthcheckTimeout {
				t.Errorf("%s waits for %q, want more than %s", path, wait, healthcheckTimeout)
			}
		}
	}
	// Two of each of four deployments, one of Compose and the image's own.
	if found != 10 {
		t.Errorf("found %d questions, want 10", found)
	}
}
