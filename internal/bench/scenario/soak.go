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
	Users          int           // in pairs, and in rooms of ten
	Rate           float64       // messages per second
	ActionRate     float64       // other things done per second
	DisconnectRate float64       // connections lost per second, of one person each
	Duration       time.Duration // of it all
	Window         time.Duration // for which figures are made, one after the other
	MaxActions     int           // that are under way at once; more wait for their turn
	ActionTimeout  time.Duration // with one
}

// activeUsers is a crowd that does more than to talk.
type activeUsers interface {
	reconnectable
	Actions() []target.Action
}

// Run does it and fills in the report.
func (s *Soak) Run(ctx context.Context, r *Run) error {
	plan := s.plan()
	all, err := r.prepare(ctx, plan)
	if err != nil {
		return err
	}
	defer all.Close()
	crowd, ok := all.(activeUsers)
	if !ok {
		return errors.New("people of several processes only talk: run this scenario in one")
	}
	if err := r.connect(ctx, crowd); err != nil {
		return err
	}
	life := newActivity(s, crowd, plan)
	over, stop := context.WithCancel(ctx)
	defer stop()
	var living sync.WaitGroup
	living.Go(func() { life.runActions(over) })
	if crowd.CanReconnect() {
		living.Go(func() { life.runDisconnects(over) })
	}
	var total load.Result
	for n := range int(s.Duration / s.Window) {
		step, err := r.runPhase(ctx, crowd, fmt.Sprintf("%v to %v", time.Duration(n)*s.Window, time.Duration(n+1)*s.Window), load.Phase{
			Rate: s.Rate, Duration: s.Window, Drain: drainTimeout,
		})
		if err != nil {
			return fmt.Errorf("after %v: %w", time.Duration(n)*s.Window, err)
		}
		total.Append(step)
		step.Distributions = load.Distributions{}
	}
	stop()
	living.Wait()
	r.Report.SetFigures(&total)
	r.Report.Acts = life.report()
	r.Report.Drift = drift(r.Report, s.Duration)
	r.Report.Downsample(maxSeries)
	return r.check(ctx, crowd)
}

// maxSeries is how long a series is told; that of a longer run is thinned out.
const maxSeries = 3600

func (s *Soak) plan() target.Plan {
	plan := pairs(s.Users)
	const size = 10
	for i := 0; i+size <= s.Users; i += size {
		members := make([]int, size)
		for m := range members {
			members[m] = i + m
		}
		plan.Rooms = append(plan.Rooms, members)
	}
	return plan
}

// activity is what people do besides talking.
type activity struct {
	soak    *Soak
	users   activeUsers
	actions []target.Action
	senders []load.Sender
	slots   chan struct{} // a place for each act that is under way

	mu      sync.Mutex
	results []actionResult // by act; the last is coming back
}

type actionResult struct {
	report.Act
	durations load.Distribution
}

func newActivity(s *Soak, crowd activeUsers, plan target.Plan) *activity {
	l := &activity{soak: s, users: crowd, actions: crowd.Actions(), slots: make(chan struct{}, s.MaxActions)}
	for _, a := range l.actions {
		l.results = append(l.results, actionResult{Act: report.Act{Name: a.Name}})
	}
	l.results = append(l.results, actionResult{Act: report.Act{Name: "come back"}})
	for room, members := range plan.Rooms {
		for _, member := range members {
			l.senders = append(l.senders, load.Sender{User: member, Room: room})
		}
	}
	return l
}

// runActions has somebody do something, again and again.
func (l *activity) runActions(ctx context.Context) {
	if len(l.actions) == 0 {
		return
	}
	l.pace(ctx, l.soak.ActionRate, func(ctx context.Context, due time.Time) {
		which, turn := rand.IntN(len(l.actions)), l.senders[rand.IntN(len(l.senders))]
		l.record(which, due, l.actions[which].Do(ctx, turn.User, turn.Room))
	})
}

// runDisconnects cuts somebody off, again and again; they come back at once.
func (l *activity) runDisconnects(ctx context.Context) {
	var away sync.Map // by person
	l.pace(ctx, l.soak.DisconnectRate, func(ctx context.Context, due time.Time) {
		person := rand.IntN(l.soak.Users)
		if _, is := away.LoadOrStore(person, true); is {
			return
		}
		defer away.Delete(person)
		l.users.Disconnect([]int{person})
		_, err := l.users.Reconnect(ctx, []int{person}, load.ReconnectOptions{})
		l.record(len(l.actions), due, err)
	})
}

// pace does something so often in a second, side by side where it takes long,
// and waits for all of it at the end.
func (l *activity) pace(ctx context.Context, perSecond float64, do func(ctx context.Context, due time.Time)) {
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
		case l.slots <- struct{}{}:
		}
		doing.Go(func() {
			defer func() { <-l.slots }()
			// What has begun is brought to its end, whatever ends the run.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.soak.ActionTimeout)
			defer cancel()
			do(ctx, due)
		})
	}
}

func (l *activity) record(which int, due time.Time, err error) {
	took := time.Since(due)
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &l.results[which]
	if err != nil {
		if d.Failed++; d.Error == "" {
			d.Error = err.Error()
		}
		return
	}
	d.Done++
	d.durations.Record(took)
}

func (l *activity) report() []report.Act {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []report.Act
	for _, d := range l.results {
		if d.Done+d.Failed > 0 {
			d.Latency = d.durations.Latency()
			out = append(out, d.Act)
		}
	}
	return out
}
