package gateway

import (
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	if err := (Config{}).WithDefaults().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	if err := (Config{}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "rate: 0 is not between") {
		t.Errorf("a zero that is no default: %v", err)
	}
	for name, cfg := range map[string]Config{
		"rate": {PerSecond: -1}, "burst": {Burst: -1}, "in-flight": {InFlight: -1}, "connections": {ConnectionsPerUser: -1},
		"heartbeat": {Heartbeat: 2 * time.Minute}, "goodbye-spread": {GoodbyeSpread: -1}, "idle-timeout": {IdleTimeout: time.Millisecond},
		"watch-users": {WatchUsers: -1}, "max-queued": {MaxQueued: 1}, "write-timeout": {WriteTimeout: -1},
		"away-grace": {AwayGrace: -1}, "max-frame": {MaxFrame: 1}, "presence-batch-delay": {PresenceBatchDelay: -1},
	} {
		if _, err := New(t.Context(), cfg, Dependencies{}); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: New says %v", name, err)
		}
	}
}
