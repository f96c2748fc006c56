package throttletest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// model is a second implementation of the throttle's rules.
type model struct {
	cfg  throttle.Config
	keys map[string]failures
}

type failures struct {
	count        int
	last, before time.Time
}

func (m *model) wait(key string) time.Duration {
	passed := m.cfg.Now().Sub(m.keys[key].last)
	if m.keys[key].count <= m.cfg.FreeFailures || passed > m.cfg.ForgetAfter {
		return 0
	}
	penalty := m.cfg.FirstWait
	for range m.keys[key].count - m.cfg.FreeFailures - 1 {
		penalty = min(2*penalty, m.cfg.MaxWait)
	}
	return max(0, min(penalty, m.cfg.MaxWait)-passed)
}

func (m *model) try(keys []string) time.Duration {
	now := m.cfg.Now()
	for i, key := range keys {
		if wait := m.wait(key); wait > 0 {
			m.cancel(keys[:i])
			return wait
		}
		k := m.keys[key]
		if now.Sub(k.last) > m.cfg.ForgetAfter {
			k = failures{}
		}
		m.keys[key] = failures{count: k.count + 1, last: now, before: k.last}
	}
	return 0
}

func (m *model) cancel(keys []string) {
	for _, key := range keys {
		k := m.keys[key]
		if m.cfg.Now().Sub(k.last) > m.cfg.ForgetAfter || k.count <= 1 {
			delete(m.keys, key)
			continue
		}
		m.keys[key] = failures{count: k.count - 1, last: k.before, before: k.before}
	}
}

func testModel(t *testing.T, h Harness) {
	millis := func(from, to int64) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.Int64Range(from, to), func(n int64) time.Duration { return time.Duration(n) * time.Millisecond })
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		cfg := throttle.Config{
			FreeFailures: rapid.IntRange(1, 4).Draw(rt, "free"),
			FirstWait:    millis(1, 20_000).Draw(rt, "first"),
			MaxWait:      millis(1, 600_000).Draw(rt, "longest"),
			ForgetAfter:  millis(1_000, 3_600_000).Draw(rt, "forget"),
			Now:          c.Now,
		}
		process := rapid.SampledFrom(h.Throttles(t, cfg))
		m := &model{cfg: cfg, keys: map[string]failures{}}
		all := []string{uniqueKey(), uniqueKey(), uniqueKey()}
		keys := rapid.Custom(func(rt *rapid.T) []string {
			return rapid.Permutation(all).Draw(rt, "order")[:rapid.IntRange(1, len(all)).Draw(rt, "keys")]
		})
		// attempt tries, and reports whether it was allowed.
		attempt := func(rt *rapid.T, some []string) bool {
			got, want := try(rt, process.Draw(rt, "process"), some...), m.try(some)
			if got < want || got > want+rounding || (got == 0) != (want == 0) {
				rt.Fatalf("wait is %v, want %v", got, want)
			}
			return got == 0
		}
		cancel := func(rt *rapid.T, some []string) {
			cancelAttempt(rt, process.Draw(rt, "process"), some...)
			m.cancel(some)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"failed": func(rt *rapid.T) {
				some := keys.Draw(rt, "of")
				for range rapid.IntRange(1, 4).Draw(rt, "times") {
					attempt(rt, some)
				}
			},
			"failed after each wait": func(rt *rapid.T) {
				some := keys.Draw(rt, "of")
				for range rapid.IntRange(1, 4).Draw(rt, "times") {
					for _, key := range some {
						c.advance(m.wait(key))
					}
					attempt(rt, some)
				}
			},
			"canceled": func(rt *rapid.T) {
				some := keys.Draw(rt, "of")
				if attempt(rt, some) {
					c.advance(millis(0, 2_000).Draw(rt, "duration"))
					cancel(rt, some)
				}
			},
			"canceled without an attempt": func(rt *rapid.T) {
				cancel(rt, keys.Draw(rt, "of"))
			},
			"succeeded": func(rt *rapid.T) {
				key := rapid.SampledFrom(all).Draw(rt, "key")
				reset(rt, process.Draw(rt, "process"), key)
				delete(m.keys, key)
			},
			"later": func(rt *rapid.T) {
				c.advance(rapid.OneOf(millis(0, 100), millis(0, 60_000), millis(0, 3_600_000)).Draw(rt, "by"))
			},
			"": func(rt *rapid.T) {
				for i := range all {
					if attempt(rt, all[i:]) {
						cancel(rt, all[i:])
					}
				}
			},
		})
	})
}
