package main

import (
	"net/netip"
	"testing"
)

// Each process of the load tool has addresses of its own towards this machine, and
// the system's choice, or the operator's, elsewhere.
func TestSourcesOfProcesses(t *testing.T) {
	seen := map[netip.Addr]int{}
	here := targetFlags{URL: "http://127.0.0.1:8080", Gateway: []string{"http://127.0.0.1:8081"}}
	for process := range 64 {
		for _, source := range here.sources(process) {
			if other, taken := seen[source]; taken || !source.IsLoopback() {
				t.Errorf("processes %d and %d have %s", other, process, source)
			}
			seen[source] = process
		}
	}
	if len(seen) != 64*sourcesPerProcess {
		t.Errorf("%d addresses", len(seen))
	}
	for _, elsewhere := range []targetFlags{{URL: "http://192.0.2.1"}, {URL: "http://127.0.0.1", Gateway: []string{"http://192.0.2.1"}}, {URL: "http://localhost"}, {URL: "http://[::1]"}} {
		if got := elsewhere.sources(1); got != nil {
			t.Errorf("%s, %s: %s", elsewhere.URL, elsewhere.Gateway, got)
		}
	}
	here.Source = []netip.Addr{netip.MustParseAddr("127.0.0.9")}
	if got := here.sources(1); len(got) != 1 || got[0] != here.Source[0] {
		t.Error(got)
	}
}
