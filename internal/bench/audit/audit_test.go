package audit_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
)

// run is a run in which everything went well, before a test spoils it: each
// device's receipts and the history, by room.
type run struct {
	audit    *audit.Audit
	rooms    []audit.Room
	order    [][]audit.Key
	received [][][]audit.Key // by room and device
	stored   [][]audit.Stored
	seqs     bool
}

func perfect(messages int, seqs bool) *run {
	r := &run{rooms: []audit.Room{
		{Name: "pair", Devices: []int{0, 1}},
		{Name: "group", Devices: []int{0, 1, 2, 2}},
	}, seqs: seqs}
	r.audit = audit.New(3, r.rooms)
	r.order, r.received, r.stored = make([][]audit.Key, 2), make([][][]audit.Key, 2), make([][]audit.Stored, 2)
	for i := range messages {
		room := i % 2
		user := i / 2 % len(slices.Compact(slices.Clone(r.rooms[room].Devices)))
		k := r.audit.RecordSend(user, room, 0)
		r.audit.RecordAnswer(k, audit.Accepted)
		r.order[room] = append(r.order[room], k)
		r.stored[room] = append(r.stored[room], audit.Stored{Key: k, Seq: int64(len(r.order[room]))})
	}
	for room := range r.rooms {
		for range r.rooms[room].Devices {
			r.received[room] = append(r.received[room], slices.Clone(r.order[room]))
		}
	}
	return r
}

// check plays the receipts and judges them.
func (r *run) check(t interface{ Fatal(args ...any) }, history bool) *audit.Verdict {
	for room := range r.received {
		for device, keys := range r.received[room] {
			for _, k := range keys {
				seq := int64(0)
				if r.seqs {
					seq = int64(slices.Index(r.order[room], k) + 1)
				}
				r.audit.RecordReceipt(room, device, k, seq)
			}
		}
	}
	var ask func(int) ([]audit.Stored, error)
	if history {
		ask = func(room int) ([]audit.Stored, error) { return r.stored[room], nil }
	}
	v, err := r.audit.Check(ask)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPerfectRun(t *testing.T) {
	for _, seqs := range []bool{false, true} {
		for _, history := range []bool{false, true} {
			v := perfect(60, seqs).check(t, history)
			if !v.Passed() || v.Sent != 60 || v.Accepted != 60 || v.Delivered != 30*2+30*4 || len(v.Violations) > 0 {
				t.Errorf("seqs %v, history %v: %+v", seqs, history, v)
			}
		}
	}
}

// Each way in which a system can break its word is found and named.
func TestViolations(t *testing.T) {
	cases := map[string]struct {
		spoil   func(r *run)
		count   func(v *audit.Verdict) int64
		want    int64
		named   string
		history bool
	}{
		"one device misses one": {
			spoil: func(r *run) { r.received[1][2] = slices.Delete(r.received[1][2], 4, 5) },
			count: func(v *audit.Verdict) int64 { return v.Lost }, want: 1, named: "group: device 2 of person 2 never received",
		},
		"all devices miss one": {
			spoil: func(r *run) {
				for d := range r.received[0] {
					r.received[0][d] = slices.Delete(r.received[0][d], 4, 5)
				}
			},
			count: func(v *audit.Verdict) int64 { return v.Lost }, want: 2, named: "pair: device 0 of person 0 never received",
		},
		"one is received twice": {
			spoil: func(r *run) { r.received[0][1] = append(r.received[0][1], r.received[0][1][3]) },
			count: func(v *audit.Verdict) int64 { return v.Duplicated }, want: 1, named: "pair: device 1 of person 1 received message",
		},
		"two are swapped at one device": {
			spoil: func(r *run) { r.received[0][1][3], r.received[0][1][4] = r.received[0][1][4], r.received[0][1][3] },
			count: func(v *audit.Verdict) int64 { return v.OutOfOrder }, want: 1, named: "after a later one",
		},
		"a sender's are swapped everywhere": {
			spoil: func(r *run) {
				for d := range r.received[0] {
					r.received[0][d][3], r.received[0][d][5] = r.received[0][d][5], r.received[0][d][3]
				}
				r.stored[0][3].Key, r.stored[0][5].Key = r.stored[0][5].Key, r.stored[0][3].Key
			},
			count: func(v *audit.Verdict) int64 { return v.OutOfOrder }, want: 1, named: "stands before the one sent before it", history: true,
		},
		"one is delivered and not stored": {
			spoil: func(r *run) { r.stored[0] = slices.Delete(r.stored[0], 29, 30) },
			count: func(v *audit.Verdict) int64 { return v.Lost }, want: 1, named: "is not stored", history: true,
		},
		"one is stored twice": {
			spoil: func(r *run) { r.stored[0] = append(r.stored[0], audit.Stored{Key: r.order[0][2], Seq: 31}) },
			count: func(v *audit.Verdict) int64 { return v.Duplicated }, want: 1, named: "stored twice", history: true,
		},
		"a seq is left out": {
			spoil: func(r *run) { r.stored[0][29].Seq++ },
			count: func(v *audit.Verdict) int64 { return v.OutOfOrder }, want: 1, named: "seq 31 is stored after 29", history: true,
		},
		"a message of another room comes": {
			spoil: func(r *run) { r.received[0][0] = append(r.received[0][0], r.order[1][0]) },
			count: func(v *audit.Verdict) int64 { return v.Foreign }, want: 1, named: "what nobody sent there",
		},
		"a message that nobody sent comes": {
			spoil: func(r *run) { r.received[0][0] = append(r.received[0][0], audit.Key{User: 77, N: 1 << 20}) },
			count: func(v *audit.Verdict) int64 { return v.Foreign }, want: 1, named: "what nobody sent there",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, seqs := range []bool{false, true} {
				r := perfect(60, seqs)
				c.spoil(r)
				v := r.check(t, c.history)
				if c.count(v) != c.want || v.Lost+v.Duplicated+v.OutOfOrder+v.Foreign != c.want || v.Passed() {
					t.Errorf("seqs %v: %+v", seqs, v)
				}
				if len(v.Violations) == 0 || !strings.Contains(v.Violations[0], c.named) {
					t.Errorf("seqs %v: the offenders are %q", seqs, v.Violations)
				}
			}
		})
	}
}

// What was refused is promised nothing, whether it comes or not; what has no
// answer is counted.
func TestAnswers(t *testing.T) {
	l := audit.New(2, []audit.Room{{Name: "pair", Devices: []int{0, 1}}})
	for i, s := range []audit.State{audit.Refused, audit.Refused, audit.Failed, audit.Unanswered} {
		k := l.RecordSend(0, 0, 0)
		l.RecordAnswer(k, s)
		if i == 0 {
			l.RecordReceipt(0, 0, k, 1)
			l.RecordReceipt(0, 1, k, 1)
		}
	}
	if _, ok := l.RecordAnswer(audit.Key{User: 0, N: 4}, audit.Accepted); ok {
		t.Error("a message that was never sent was answered")
	}
	v, err := l.Check(nil)
	if err != nil || !v.Passed() || v.Sent != 4 || v.Refused != 2 || v.Failed != 1 || v.Unanswered != 1 || v.Delivered != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	broken := errors.New("broken")
	if _, err := l.Check(func(int) ([]audit.Stored, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("a history that cannot be read: %v", err)
	}
}

// Only what was waited for counts while a run goes on: not what comes again, nor
// what was refused; and what has not come can be asked for.
func TestReceiptExpected(t *testing.T) {
	everybody := make([]int, 100)
	for i := range everybody {
		everybody[i] = i
	}
	for name, devices := range map[string][]int{"pair": {0, 1}, "large": everybody} {
		l := audit.New(100, []audit.Room{{Name: name, Devices: devices}})
		k, refused := l.RecordSend(0, 0, time.Second), l.RecordSend(0, 0, 2*time.Second)
		for range 3 {
			if r, ok := l.RecordReceipt(0, 1, k, 1); !ok || r.Last || r.Due != time.Second {
				t.Errorf("%s: %+v, %v", name, r, ok)
			}
		}
		if f, ok := l.RecordAnswer(refused, audit.Refused); !ok || f.Received != 0 || f.Due != 2*time.Second {
			t.Errorf("%s: %+v, %v", name, f, ok)
		}
		if r, ok := l.RecordReceipt(0, 1, refused, 2); !ok || r.Expected {
			t.Errorf("%s: %+v, %v", name, r, ok)
		}
		waiting := 0
		l.Outstanding(0, func(due time.Duration, n int, unanswered bool) {
			if waiting += n; due != time.Second || !unanswered {
				t.Errorf("%s: due %v, answered %v", name, due, !unanswered)
			}
		})
		l.Outstanding(1500*time.Millisecond, func(time.Duration, int, bool) { t.Errorf("%s: what was due before is told of", name) })
		if waiting != len(devices)-1 {
			t.Errorf("%s: %d are waited for", name, waiting)
		}
		if f, _ := l.RecordAnswer(k, audit.Accepted); f.Received != 1 {
			t.Errorf("%s: %+v", name, f)
		}
		last := len(devices) - 1
		if last == 1 { // which has it
			last = 0
		}
		for at := range devices {
			r, ok := l.RecordReceipt(0, at, k, 1)
			if !ok || r.Expected != (at != 1) || r.Last != (at == last) {
				t.Errorf("%s: device %d: %+v, %v", name, at, r, ok)
			}
		}
	}
}

// A message that comes to somebody who is not in its conversation is found, as
// is one that was never answered, is stored, and misses at a device.
func TestLeaksAndMergedVerdicts(t *testing.T) {
	l := audit.New(3, []audit.Room{{Name: "pair", Devices: []int{0, 1}}})
	k := l.RecordSend(0, 0, 0)
	l.RecordReceipt(0, 0, k, 1)
	l.RecordLeak(2, 0, k)
	v, err := l.Check(func(int) ([]audit.Stored, error) { return []audit.Stored{{Key: k, Seq: 1}}, nil })
	if err != nil || v.Foreign != 1 || v.Lost != 1 || v.HistoryUnavailable != 0 || !strings.Contains(strings.Join(v.Violations, "\n"), "person 2, who is not in it") {
		t.Errorf("%+v, %v", v, err)
	}
}

// However a run is spoilt, it is not taken for a good one; and what is found
// is as much as was done.
func TestAnyViolationIsFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := perfect(40, rapid.Bool().Draw(rt, "seqs"))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)) //nolint:gosec // a test's choices
		room := rng.IntN(2)
		device := rng.IntN(len(r.received[room]))
		list := &r.received[room][device]
		n := rapid.IntRange(1, 5).Draw(rt, "times")
		what := rapid.SampledFrom([]string{"lose", "double", "swap"}).Draw(rt, "what")
		lost, doubled := int64(0), int64(0)
		for range n {
			i := rng.IntN(len(*list) - 1)
			switch what {
			case "lose":
				*list = slices.Delete(*list, i, i+1)
				lost++
			case "double":
				*list = slices.Insert(*list, rng.IntN(len(*list)), (*list)[i])
				doubled++
			case "swap":
				(*list)[i], (*list)[i+1] = (*list)[i+1], (*list)[i]
			}
		}
		same := slices.Equal(*list, r.order[room])
		v := r.check(rt, rapid.Bool().Draw(rt, "history"))
		if v.Passed() != same {
			rt.Fatalf("%s %d times, the same afterwards: %v; verdict %+v", what, n, same, v)
		}
		if what == "lose" && (v.Lost != lost || v.Duplicated+v.OutOfOrder > 0) {
			rt.Fatalf("%d were lost: %+v", lost, v)
		}
		if what == "double" && (v.Duplicated != doubled || v.Lost > 0) {
			rt.Fatalf("%d were doubled: %+v", doubled, v)
		}
	})
}
