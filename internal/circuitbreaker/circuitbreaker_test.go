package circuitbreaker_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
)

var errNoAnswer = errors.New("no answer")

// An outage and its end are logged once each, also when the server answers now
// and then.
func TestLogsAnOutageOnce(t *testing.T) {
	var log bytes.Buffer
	b := circuitbreaker.New(slog.New(slog.NewTextHandler(&log, nil)), "outage", "recovered")
	now := time.Now()
	for i := range 100 {
		if now = now.Add(circuitbreaker.Cooldown); !b.Allow(now) {
			t.Fatal("no call is allowed after the cooldown")
		}
		if i%3 == 0 {
			b.Record(now, nil)
			continue
		}
		if i%3 == 2 && b.Allow(now) {
			t.Error("two calls are allowed at once")
		}
		b.Record(now, errNoAnswer)
		if b.Allow(now.Add(circuitbreaker.Cooldown - 1)) {
			t.Error("a call is allowed before the cooldown is over")
		}
	}
	if !b.Open() {
		t.Error("the breaker is not open")
	}
	for range 30 {
		now = now.Add(circuitbreaker.Cooldown)
		b.Record(now, nil)
	}
	got := log.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, `level=ERROR msg=outage error="no answer"`) || !strings.Contains(got, `level=INFO msg=recovered`) || b.Open() {
		t.Errorf("the log has %s", got)
	}
}
