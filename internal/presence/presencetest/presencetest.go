// Package presencetest is the conformance suite of the presence port: every
// backend runs it, against its real server.
package presencetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
)

// Harness is what a backend provides.
type Harness struct {
	// Open returns a presence in which nobody is online. stop closes it, so that
	// it no longer registers its devices.
	Open func(t *testing.T) (p presence.Presence, stop func())
}

func (h Harness) open(t *testing.T) presence.Presence {
	p, stop := h.Open(t)
	t.Cleanup(stop)
	return p
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("life cycle of devices", func(t *testing.T) { testLifecycle(t, h) })
	t.Run("any interleaving agrees with the model", func(t *testing.T) { testModel(t, h) })
	t.Run("of concurrent attaches one changes the state", func(t *testing.T) { testConcurrent(t, h) })
}

func testLifecycle(t *testing.T, h Harness) {
	ctx := context.Background()
	p := h.open(t)
	phone := presence.Device{User: 1, Node: "a", ID: 1}
	laptop := presence.Device{User: 1, Node: "b", ID: 1}
	steps := []struct {
		name    string
		do      func() (presence.State, bool, error)
		state   chat.Presence
		changed bool
		nodes   []string
	}{
		{"phone connects", func() (presence.State, bool, error) { return p.Attach(ctx, phone) }, chat.Online, true, []string{"a"}},
		{"phone connects again", func() (presence.State, bool, error) { return p.Attach(ctx, phone) }, chat.Online, false, []string{"a"}},
		{"phone is away", func() (presence.State, bool, error) { return p.SetAway(ctx, phone, true) }, chat.Away, true, []string{"a"}},
		{"laptop connects", func() (presence.State, bool, error) { return p.Attach(ctx, laptop) }, chat.Online, true, []string{"a", "b"}},
		{"laptop disconnects", func() (presence.State, bool, error) { return p.Detach(ctx, laptop) }, chat.Away, true, []string{"a"}},
		{"laptop disconnects again", func() (presence.State, bool, error) { return p.Detach(ctx, laptop) }, chat.Away, false, []string{"a"}},
		{"unknown device is away", func() (presence.State, bool, error) { return p.SetAway(ctx, laptop, false) }, chat.Away, false, []string{"a"}},
		{"phone disconnects", func() (presence.State, bool, error) { return p.Detach(ctx, phone) }, chat.Offline, true, nil},
	}
	for _, step := range steps {
		state, changed, err := step.do()
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if state.User != 1 || state.Presence != step.state || changed != step.changed {
			t.Errorf("%s: %v, changed %v; want %s, %v", step.name, state, changed, step.state, step.changed)
		}
		if gone := step.state == chat.Offline; changed && gone == state.LastSeen.IsZero() {
			t.Errorf("%s: last seen %v", step.name, state.LastSeen)
		}
		check(t, p, 1, step.state, step.nodes)
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func check(t fataler, p presence.Presence, user chat.UserID, state chat.Presence, nodes []string) {
	t.Helper()
	states, err := p.States(context.Background(), []chat.UserID{user + 1000, user})
	if err != nil {
		t.Fatalf("States: %v", err)
	}
	if states[0].Presence != chat.Offline || states[1].User != user || states[1].Presence != state {
		t.Fatalf("States: %v, want offline and %s", states, state)
	}
	found, err := p.NodesOf(context.Background(), []chat.UserID{user, user + 1000, user})
	if err != nil {
		t.Fatalf("NodesOf: %v", err)
	}
	for _, i := range []int{0, 2} {
		got := slices.Clone(found[i])
		slices.Sort(got)
		if !slices.Equal(got, nodes) {
			t.Fatalf("NodesOf: %v, want %v", got, nodes)
		}
	}
	if len(found[1]) != 0 {
		t.Fatalf("NodesOf: an unknown user is on %v", found[1])
	}
}

func testModel(t *testing.T, h Harness) {
	rapid.Check(t, func(rt *rapid.T) {
		p, stop := h.Open(t)
		defer stop()
		model := map[presence.Device]bool{} // device -> away
		draw := func(rt *rapid.T) presence.Device {
			return presence.Device{
				User: chat.UserID(rapid.IntRange(1, 3).Draw(rt, "user")),
				Node: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "node"),
				ID:   int64(rapid.IntRange(1, 2).Draw(rt, "device")),
			}
		}
		expect := func(user chat.UserID) (state chat.Presence, nodes []string) {
			state = chat.Offline
			for d, away := range model {
				if d.User != user {
					continue
				}
				if !slices.Contains(nodes, d.Node) {
					nodes = append(nodes, d.Node)
				}
				if !away {
					state = chat.Online
				} else if state == chat.Offline {
					state = chat.Away
				}
			}
			slices.Sort(nodes)
			return state, nodes
		}
		act := func(rt *rapid.T, d presence.Device, do func() (presence.State, bool, error), change func()) {
			before, _ := expect(d.User)
			change()
			after, nodes := expect(d.User)
			state, changed, err := do()
			if err != nil {
				rt.Fatal(err)
			}
			if state.Presence != after || changed != (before != after) {
				rt.Fatalf("%v: %v, changed %v; want %s after %s", d, state, changed, after, before)
			}
			check(rt, p, d.User, after, nodes)
		}
		ctx := context.Background()
		rt.Repeat(map[string]func(*rapid.T){
			"attach": func(rt *rapid.T) {
				d := draw(rt)
				act(rt, d, func() (presence.State, bool, error) { return p.Attach(ctx, d) }, func() { model[d] = false })
			},
			"detach": func(rt *rapid.T) {
				d := draw(rt)
				act(rt, d, func() (presence.State, bool, error) { return p.Detach(ctx, d) }, func() { delete(model, d) })
			},
			"away": func(rt *rapid.T) {
				d, away := draw(rt), rapid.Bool().Draw(rt, "away")
				act(rt, d, func() (presence.State, bool, error) { return p.SetAway(ctx, d, away) }, func() {
					if _, ok := model[d]; ok {
						model[d] = away
					}
				})
			},
		})
	})
}

func testConcurrent(t *testing.T, h Harness) {
	p := h.open(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	changes := 0
	for i := range 50 {
		wg.Go(func() {
			_, changed, err := p.Attach(context.Background(), presence.Device{User: 1, Node: fmt.Sprint(i % 3), ID: int64(i)})
			if err != nil {
				t.Error(err)
			}
			if changed {
				mu.Lock()
				changes++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if changes != 1 {
		t.Errorf("%d attaches changed the state, want 1", changes)
	}
	check(t, p, 1, chat.Online, []string{"0", "1", "2"})
}
