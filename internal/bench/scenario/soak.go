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

// Soak simulates normal use for hours: users send, type, read, scroll back,
// search, lose their connections and connect again. It measures what gets worse
// with time.
type Soak struct {
	Users          int           // in pairs, and in rooms of ten
	Rate           float64       // messages per second
	ActionRate     float64       // actions per second
	DisconnectRate float64       // connections lost per second
	Duration       time.Duration // of it all
	Window         time.Duration // duration of each step
	MaxActions     int           // concurrent actions, from 1; more wait; default 64
	ActionTimeout  time.Duration // of one action, from 1 ms to 1 h; default 30 s
}

// activeUsers is VirtualUsers that do more than send messages.
type activeUsers interface {
	reconnectable
	Actions() []target.Action
}

// Run runs the scenario and fills in the report.
func (s Soak) Run(ctx context.Context, r *Run) error {
	s = s.WithDefaults()
	if err := s.Validate(); err != nil {
		return err
	}
	defer r.sampleUsage(ctx)()
	plan := s.plan()
	all, err := r.prepare(ctx, plan)
	if err != nil {
		return err
	}
	defer all.Close()
	users, ok := all.(activeUsers)
	if !ok {
		return errors.New("users of several processes only send messages: run this scenario in one")
	}
	if err := r.connect(ctx, users); err != nil {
		return err
	}
	life := newActivity(&s, users, plan)
	over, cancel := context.WithCancel(ctx)
	var living sync.WaitGroup
	stop := func() {
		cancel()
		living.Wait()
	}
	defer stop() // before the connections are closed
	living.Go(func() { life.runActions(over) })
	if users.CanReconnect() {
		living.Go(func() { life.runDisconnects(over) })
	}
	var total load.Result
	for n := range int(s.Duration / s.Window) {
		step, err := r.runPhase(ctx, users, fmt.Sprintf("%v to %v", time.Duration(n)*s.Window, time.Duration(n+1)*s.Window), load.Phase{
			Rate: s.Rate, Duration: s.Window, Drain: drainTimeout,
		})
		if err != nil {
			return fmt.Errorf("after %v: %w", time.Duration(n)*s.Window, err)
		}
		total.Append(step)
		step.Distributions = load.Distributions{}
	}
	stop()
	r.Report.SetFigures(&total)
	r.Report.Acts = life.report()
	r.Report.Drift = drift(r.Report, s.Duration)
	r.Report.Downsample(maxSeries)
	return r.check(ctx, users)
}

// maxSeries is how many points a series has at most; a longer one is
// downsampled.
const maxSeries = 3600

func (s Soak) plan() target.Plan {
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

// activity is what users do besides sending messages.
type activity struct {
	soak    *Soak
	users   activeUsers
	actions []target.Action
	senders []load.Sender
	slots   chan struct{} // one for each running action

	mu      sync.Mutex
	results []actionResult // by action; the last is reconnecting
}

type actionResult struct {
	report.Act
	durations load.Distribution
}

func newActivity(s *Soak, users activeUsers, plan target.Plan) *activity {
	l := &activity{soak: s, users: users, actions: users.Actions(), slots: make(chan struct{}, s.MaxActions)}
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

// runActions has random users do random actions until ctx ends.
func (l *activity) runActions(ctx context.Context) {
	if len(l.actions) == 0 {
		return
	}
	l.pace(ctx, l.soak.ActionRate, func(ctx context.Context, due time.Time) {
		which, sender := rand.IntN(len(l.actions)), l.senders[rand.IntN(len(l.senders))]
		l.record(which, due, l.actions[which].Do(ctx, sender.User, sender.Room))
	})
}

// runDisconnects disconnects random users, who connect again at once, until ctx
// ends.
func (l *activity) runDisconnects(ctx context.Context) {
	var away sync.Map // by user
	l.pace(ctx, l.soak.DisconnectRate, func(ctx context.Context, due time.Time) {
		user := rand.IntN(l.soak.Users)
		if _, is := away.LoadOrStore(user, true); is {
			return
		}
		defer away.Delete(user)
		l.users.Disconnect([]int{user})
		_, err := l.users.Reconnect(ctx, []int{user}, load.ReconnectOptions{})
		l.record(len(l.actions), due, err)
	})
}

// pace calls do at a rate, concurrently where it takes long, and waits at the
// end until all calls have returned.
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
