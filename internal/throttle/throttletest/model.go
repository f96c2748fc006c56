package throttletest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// model is the rules of the throttle, said once more.
type model struct {
	cfg  throttle.Config
	keys map[string]remembered
}

type remembered struct {
	count        int
	last, before time.Time
}

func (m *model) wait(key string) time.Duration {
	passed := m.cfg.Now().Sub(m.keys[key].last)
	if m.keys[key].count <= m.cfg.Free || passed > m.cfg.Forget {
		return 0
	}
	penalty := m.cfg.First
	for range m.keys[key].count - m.cfg.Free - 1 {
		penalty = min(2*penalty, m.cfg.Longest)
	}
	return max(0, min(penalty, m.cfg.Longest)-passed)
}

func (m *model) try(keys []string) time.Duration {
	now := m.cfg.Now()
	for i, key := range keys {
		if wait := m.wait(key); wait > 0 {
			m.forgive(keys[:i])
			return wait
		}
		k := m.keys[key]
		if now.Sub(k.last) > m.cfg.Forget {
			k = remembered{}
		}
		m.keys[key] = remembered{count: k.count + 1, last: now, before: k.last}
	}
	return 0
}

func (m *model) forgive(keys []string) {
	for _, key := range keys {
		k := m.keys[key]
		if m.cfg.Now().Sub(k.last) > m.cfg.Forget || k.count <= 1 {
			delete(m.keys, key)
			continue
		}
		m.keys[key] = remembered{count: k.count - 1, last: k.before, before: k.before}
	}
}

func testModel(t *testing.T, h Harness) {
	millis := func(from, to int64) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.Int64Range(from, to), func(n int64) time.Duration { return time.Duration(n) * time.Millisecond })
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		cfg := throttle.Config{
			Free:    rapid.IntRange(1, 4).Draw(rt, "free"),
			First:   millis(1, 20_000).Draw(rt, "first"),
			Longest: millis(1, 600_000).Draw(rt, "longest"),
			Forget:  millis(1_000, 3_600_000).Draw(rt, "forget"),
			Now:     c.Now,
		}
		process := rapid.SampledFrom(h.Throttles(t, cfg))
		m := &model{cfg: cfg, keys: map[string]remembered{}}
		all := []string{fresh(), fresh(), fresh()}
		keys := rapid.Custom(func(rt *rapid.T) []string {
			return rapid.Permutation(all).Draw(rt, "order")[:rapid.IntRange(1, len(all)).Draw(rt, "keys")]
		})
		// attempt tries, and tells whether it was let through.
		attempt := func(rt *rapid.T, some []string) bool {
			got, want := try(rt, process.Draw(rt, "process"), some...), m.try(some)
			if got < want || got > want+rounding || (got == 0) != (want == 0) {
				rt.Fatalf("wait is %v, want %v", got, want)
			}
			return got == 0
		}
		takenBack := func(rt *rapid.T, some []string) {
			forgive(rt, process.Draw(rt, "process"), some...)
			m.forgive(some)
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
			"forgiven": func(rt *rapid.T) {
				some := keys.Draw(rt, "of")
				if attempt(rt, some) {
					c.advance(millis(0, 2_000).Draw(rt, "under way"))
					takenBack(rt, some)
				}
			},
			"forgiven without an attempt": func(rt *rapid.T) {
				takenBack(rt, keys.Draw(rt, "of"))
			},
			"succeeded": func(rt *rapid.T) {
				key := rapid.SampledFrom(all).Draw(rt, "key")
				succeed(rt, process.Draw(rt, "process"), key)
				delete(m.keys, key)
			},
			"later": func(rt *rapid.T) {
				c.advance(rapid.OneOf(millis(0, 100), millis(0, 60_000), millis(0, 3_600_000)).Draw(rt, "by"))
			},
			"": func(rt *rapid.T) {
				for i := range all {
					if attempt(rt, all[i:]) {
						takenBack(rt, all[i:])
					}
				}
			},
		})
	})
}
