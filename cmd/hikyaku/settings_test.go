package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"HIKYAKU_LISTEN", "HIKYAKU_RATE", "HIKYAKU_REDIS", "HIKYAKU_REDIS_FILE", "HIKYAKU_DATA", "rate", "data"}
	for name, want := range map[string][]string{
		"HIKYAKU_LISTN":     {"HIKYAKU_LISTEN"},
		"HIKYAKU_RADIS":     {"HIKYAKU_REDIS"},
		"HIKYAKU_REDISFILE": {"HIKYAKU_REDIS_FILE"},
		"HIKYAKU_DATE":      {"HIKYAKU_DATA", "HIKYAKU_RATE"},
		"HIKYAKU_COLOUR":    nil,
		"dat":               {"data"},
	} {
		if got := nearest(name, known); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// PORT is where make run listens, unless a setting says it.
func TestMakeRunListensOnPort(t *testing.T) {
	for _, tt := range []struct {
		make, environ []string
		want          string
	}{
		{nil, nil, ""},
		{[]string{"PORT=9000"}, nil, "127.0.0.1:9000"},
		{[]string{"PORT=9000"}, []string{"HIKYAKU_LISTEN=:80"}, ":80"},
		{nil, []string{"HIKYAKU_LISTEN=:80"}, ":80"},
	} {
		printed := exec.CommandContext(t.Context(), "make", append([]string{"-C", "../..", "--no-print-directory", "-n", "-o", "build", "run"}, tt.make...)...)
		printed.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
		recipe, err := printed.Output()
		if err != nil {
			t.Fatalf("make -n run: %v", err)
		}
		line, ok := strings.CutSuffix(strings.TrimSpace(string(recipe)), "./bin/hikyaku serve")
		if !ok {
			t.Fatalf("make run does %q", recipe)
		}
		shell := exec.CommandContext(t.Context(), "sh", "-c", line+` sh -c 'echo "$HIKYAKU_LISTEN"'`)
		shell.Env = tt.environ
		got, err := shell.Output()
		if err != nil || strings.TrimSpace(string(got)) != tt.want {
			t.Errorf("%v with %v: the server gets %q (%v), want %q", tt.make, tt.environ, got, err, tt.want)
		}
	}
}
