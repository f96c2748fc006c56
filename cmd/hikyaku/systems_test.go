package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target/ejabberd"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/reference"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/targettest"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// One command starts another system and names a file of settings with which the
// load tool measures it; the system stops when it is asked to.
func TestStackOfOtherSystems(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	for name, open := range map[string]func(settings map[string]string) (targettest.System, error){
		"ejabberd": func(s map[string]string) (targettest.System, error) {
			system, err := ejabberd.New(s["url"], ejabberd.Options{})
			return targettest.System{Target: system}, err
		},
		"reference": func(s map[string]string) (targettest.System, error) {
			system, err := reference.New(s["url"], reference.Options{Database: s["reference-database"]})
			return targettest.System{Target: system, Unordered: true}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			out := &told{about: "--config ", rest: make(chan string, 1)}
			ended := make(chan int, 1)
			go func() {
				ended <- run(ctx, []string{"stack", "--system", name, "--port", "0"}, nil, streams{in: strings.NewReader(""), out: out, err: os.Stderr})
			}()
			var file string
			select {
			case file = <-out.rest:
			case code := <-ended:
				t.Fatalf("the stack ended with %d", code)
			case <-time.After(2 * time.Minute):
				t.Fatal("the stack does not start")
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var settings map[string]string
			if err := yaml.Unmarshal(b, &settings); err != nil || settings["system"] != name {
				t.Fatalf("%v: %s", err, b)
			}
			system, err := open(settings)
			if err != nil {
				t.Fatal(err)
			}
			targettest.TestMessages(t, system, targettest.Pairs("stack", 4))
			stop()
			if code := <-ended; code != exitOK {
				t.Errorf("the stack ended with %d", code)
			}
			if _, err := os.Stat(file); err == nil {
				t.Errorf("%s is still there", file)
			}
		})
	}
}

// told sends the rest of the first line that contains a text.
type told struct {
	about string
	rest  chan string
}

func (w *told) Write(p []byte) (int, error) {
	if _, rest, ok := strings.Cut(string(p), w.about); ok {
		line, _, _ := strings.Cut(rest, "\n")
		w.rest <- line
	}
	return len(p), nil
}
