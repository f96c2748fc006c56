package scenario_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/faulty"
)

// A scenario does not begin with what it cannot do, and says by which name it is
// set. The ranges are tested with the command line.
func TestOptionsAreChecked(t *testing.T) {
	for says, what := range map[string]runner{
		"users: there are none":          &scenario.Latency{},
		"load: 0 is not between":         &scenario.Burst{Users: 2, Duration: time.Second},
		"at-once: 0 is not between":      &scenario.Connections{Users: 2, Sample: 2, Rate: 1},
		"sizes: there are none":          &scenario.Fanout{},
		"users: 3 users cannot be":       &scenario.Reconnect{Users: 3, Rate: 1, Concurrency: 1},
		"max-actions: -1 is not between": &scenario.Soak{Users: 2, Rate: 1, Duration: time.Second, Window: time.Second, MaxActions: -1},
	} {
		s := &faulty.System{RefuseConnection: func(int) bool {
			t.Errorf("%q: users are connected", says)
			return true
		}}
		if err := what.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: report.New("test", "test", "test")}); err == nil || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
