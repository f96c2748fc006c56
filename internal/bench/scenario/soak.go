package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Soak has people live with a system for hours: they send, type, read, scroll
// back, search, lose their connections and come back. It looks for what gets
// worse with time.
type Soak struct {
	People   int           // in pairs, and in rooms of ten
	Rate     float64       // messages per second
	Acts     float64       // other things done per second
	Losses   float64       // connections lost per second, of one person each
	Length   time.Duration // of it all
	Window   time.Duration // for which figures are made, one after the other
	MaxActs  int           // that are under way at once; more wait for their turn
	Patience time.Duration // with one
}

// lively is a crowd that does more than to talk.
type lively interface {
	absentee
	Acts() []target.Act
}

// Run does it and fills in the report.
func (s *Soak) Run(ctx context.Context, r *Run) error {
	plan := s.plan()
	all, err := r.gather(ctx, plan)
	if err != nil {
		return err
	}
	defer all.Close()
	crowd, ok := all.(lively)
	if !ok {
		return errors.New("people of several processes only talk: run this scenario in one")
	}
	if err := r.connect(ctx, crowd); err != nil {
		return err
	}
	life := newLife(s, crowd, plan)
	over, stop := context.WithCancel(ctx)
	defer stop()
	var living sync.WaitGroup
	living.Go(func() { life.act(over) })
	if crowd.Returns() {
		living.Go(func() { life.lose(over) })
	}
	var total load.Result
	for n := range int(s.Length / s.Window) {
		step, err := r.talk(ctx, crowd, fmt.Sprintf("%v to %v", time.Duration(n)*s.Window, time.Duration(n+1)*s.Window), load.Phase{
			Rate: s.Rate, Length: s.Window, Drain: drainFor,
		})
		if err != nil {
			return fmt.Errorf("after %v: %w", time.Duration(n)*s.Window, err)
		}
		total.Then(step)
		step.Took = load.Took{}
	}
	stop()
	living.Wait()
	r.Report.Take(&total)
	r.Report.Acts = life.told()
	r.Report.Drift = drift(r.Report, s.Length)
	r.Report.Thin(mostSeries)
	return r.conclude(ctx, crowd)
}

// mostSeries is how long a series is told; that of a longer run is thinned out.
const mostSeries = 3600

func (s *Soak) plan() target.Plan {
	plan := pairs(s.People)
	const size = 10
	for i := 0; i+size <= s.People; i += size {
		members := make([]int, size)
		for m := range members {
			members[m] = i + m
		}
		plan.Rooms = append(plan.Rooms, members)
	}
	return plan
}

// life is what people do besides talking.
type life struct {
	soak  *Soak
	crowd lively
	acts  []target.Act
	turns []load.Turn
	busy  chan struct{} // a place for each act that is under way

	mu   sync.Mutex
	done []deed // by act; the last is coming back
}

type deed struct {
	report.Act
	took load.Distribution
}

func newLife(s *Soak, crowd lively, plan target.Plan) *life {
	l := &life{soak: s, crowd: crowd, acts: crowd.Acts(), busy: make(chan struct{}, s.MaxActs)}
	for _, a := range l.acts {
		l.done = append(l.done, deed{Act: report.Act{Name: a.Name}})
	}
	l.done = append(l.done, deed{Act: report.Act{Name: "come back"}})
	for room, members := range plan.Rooms {
		for _, member := range members {
			l.turns = append(l.turns, load.Turn{Person: member, Room: room})
		}
	}
	return l
}

// act has somebody do something, again and again.
func (l *life) act(ctx context.Context) {
	if len(l.acts) == 0 {
		return
	}
	l.pace(ctx, l.soak.Acts, func(ctx context.Context, due time.Time) {
		which, turn := rand.IntN(len(l.acts)), l.turns[rand.IntN(len(l.turns))]
		l.note(which, due, l.acts[which].Do(ctx, turn.Person, turn.Room))
	})
}

// lose cuts somebody off, again and again; they come back at once.
func (l *life) lose(ctx context.Context) {
	var away sync.Map // by person
	l.pace(ctx, l.soak.Losses, func(ctx context.Context, due time.Time) {
		person := rand.IntN(l.soak.People)
		if _, is := away.LoadOrStore(person, true); is {
			return
		}
		defer away.Delete(person)
		l.crowd.Cut([]int{person})
		_, err := l.crowd.Return(ctx, []int{person}, load.Returning{})
		l.note(len(l.acts), due, err)
	})
}

// pace does something so often in a second, side by side where it takes long,
// and waits for all of it at the end.
func (l *life) pace(ctx context.Context, perSecond float64, do func(ctx context.Context, due time.Time)) {
	if perSecond <= 0 {
		return
	}
	var doing sync.WaitGroup
	defer doing.Wait()
	begin := time.Now()
	for n := 0; ; n++ {
		due := begin.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case l.busy <- struct{}{}:
		}
		doing.Go(func() {
			defer func() { <-l.busy }()
			// What has begun is brought to its end, whatever ends the run.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.soak.Patience)
			defer cancel()
			do(ctx, due)
		})
	}
}

func (l *life) note(which int, due time.Time, err error) {
	took := time.Since(due)
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &l.done[which]
	if err != nil {
		if d.Failed++; d.Error == "" {
			d.Error = err.Error()
		}
		return
	}
	d.Done++
	d.took.Record(took)
}

func (l *life) told() []report.Act {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []report.Act
	for _, d := range l.done {
		if d.Done+d.Failed > 0 {
			d.Latency = d.took.Latency()
			out = append(out, d.Act)
		}
	}
	return out
}
