package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const samples = "../../internal/bench/report/reporttest/"

// compareRuns runs the command with a user's arguments.
func compareRuns(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var c benchCompare
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = c.Run(streams{out: &out})
	return out.String(), err
}

func TestBenchCompare(t *testing.T) {
	t.Parallel()
	out, err := compareRuns(t, "before="+samples+"latency.json", "after="+samples+"latency-again.json", samples+"burst.json", "--published")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before", "after", "original (published)", "not measured here", "One run of each", "broker's queue", "accepted, not yet arrived"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	// One set of pictures is enough here: package plot tests how all are drawn.
	plots := filepath.Join(t.TempDir(), "plots")
	if out, err = compareRuns(t, samples+"burst.json", "--png", plots); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if info, err := os.Stat(filepath.Join(plots, "burst-queue.png")); err != nil || info.Size() < 10_000 {
		t.Errorf("%v", err)
	}
	// Without names they are repetitions of one another.
	if out, err = compareRuns(t, samples+"latency.json", samples+"latency-again.json"); err != nil || !strings.Contains(out, "2 runs") || !strings.Contains(out, "Give them names") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestBenchCompareErrors(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, []byte(`{"schema":"something/v2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "files"},
		{[]string{"missing.json"}, "missing.json"},
		{[]string{other}, `something/v2`},
		{[]string{samples + "reporttest.go"}, "no report of the load tool"},
		{[]string{samples + "burst.json", "--png", filepath.Join(other, "under-a-file")}, "--png"},
	} {
		if _, err := compareRuns(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, not %s", c.args, err, c.want)
		}
	}
}
