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

// The log tells once of an outage and once of its end, also when the server
// answers now and then.
func TestLogsAnOutageOnce(t *testing.T) {
	var log bytes.Buffer
	o := circuitbreaker.New(slog.New(slog.NewTextHandler(&log, nil)), "it is away", "it is back")
	now := time.Now()
	for i := range 100 {
		if now = now.Add(circuitbreaker.Cooldown); !o.Allow(now) {
			t.Fatal("the server is left alone for too long")
		}
		if i%3 == 0 {
			o.Record(now, nil)
			continue
		}
		if i%3 == 2 && o.Allow(now) {
			t.Error("two ask at once")
		}
		o.Record(now, errNoAnswer)
		if o.Allow(now.Add(circuitbreaker.Cooldown - 1)) {
			t.Error("it is asked too soon")
		}
	}
	if !o.Open() {
		t.Error("it knows of no outage")
	}
	for range 30 {
		now = now.Add(circuitbreaker.Cooldown)
		o.Record(now, nil)
	}
	got := log.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, `level=ERROR msg="it is away" error="no answer"`) || !strings.Contains(got, `level=INFO msg="it is back"`) || o.Open() {
		t.Errorf("the log has %s", got)
	}
}
