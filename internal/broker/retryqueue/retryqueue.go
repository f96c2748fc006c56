// Package retryqueue keeps what a worker could not handle until it is tried again,
// while other conversations go on. The backends of package broker share it.
//
// Everything of a conversation that waits stays behind what could not be handled,
// so that the conversation keeps its order. Whoever receives deliveries has the
// queue admit them, handles what it admitted, one batch of a conversation at a time, and
// puts what failed into the queue, which tries it again beside.
//
// There are two kinds of failures. When a handler leaves single conversations
// undecided, each of them waits for itself, longer with each failure. When a whole
// try fails, it is not known why: it may be one of the conversations, or a server
// that is gone. Then the queue pauses, longer with each failure, and has half as
// many conversations in the next try, so that what fails is soon alone and what
// does not is soon handled. Each success doubles the number again.
package retryqueue

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const (
	minInterval = 50 * time.Millisecond
	maxInterval = 2 * time.Second
	// reminderInterval is how often the log says why messages wait.
	reminderInterval = time.Minute
)

// Config is what a [Queue] works with. All fields but Stale are required.
type Config[T any] struct {
	Conversation func(T) chat.ConversationID // that an entry belongs to
	// Stale reports whether an entry is to be forgotten instead of tried, because it
	// will be delivered again. Once it does it always does. The queue calls it while it is
	// locked, so it must not use the queue.
	Stale    func(T) bool
	MaxBatch int // entries in one try, from 1
	Logger   *slog.Logger
}

// Queue is a retry queue. It is unbounded; its user must bound it. All methods are
// safe for concurrent use, but only one goroutine may admit and only one may run.
// See [New].
type Queue[T any] struct {
	cfg   Config[T]
	ready batching.Signal // something else waits

	mu            sync.Mutex
	conversations map[chat.ConversationID]*conversation[T]
	limit         int // conversations in the next try

	// What the log has told of: waits are logged as they begin and end, and of failures
	// once a minute why.
	failingSince time.Time // whole tries fail; zero while none does
	toldAt       time.Time // when the log last said why
	held         int       // conversations that single tries have left undecided
}

// conversation is what waits of a conversation. It exists as long as something
// does, or is being tried.
type conversation[T any] struct {
	id      chat.ConversationID
	entries []T // oldest first, without those that are being tried
	trying  bool
	failed  bool      // in a try that failed as a whole, and not handled since
	held    bool      // left undecided, and not handled since
	due     time.Time // of the next try
	retry   backoff.Backoff
}

// New returns an empty queue.
func New[T any](cfg Config[T]) *Queue[T] {
	return &Queue[T]{cfg: cfg, ready: batching.NewSignal(), conversations: map[chat.ConversationID]*conversation[T]{}, limit: math.MaxInt}
}

// Admit returns the entries that can be handled now. The others wait in the queue
// from now on, because something of their conversations does. It uses the memory
// of entries.
func (q *Queue[T]) Admit(entries []T) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.conversations) == 0 {
		return entries
	}
	return slices.DeleteFunc(entries, func(e T) bool {
		c := q.conversations[q.cfg.Conversation(e)]
		if c == nil {
			return false
		}
		if !q.stale(e) {
			c.entries = append(c.entries, e)
		}
		return true
	})
}

// stale reports whether an entry is to be forgotten.
func (q *Queue[T]) stale(e T) bool { return q.cfg.Stale != nil && q.cfg.Stale(e) }

// DropStale removes what is stale. What becomes stale before DropStale is called does
// not come into the queue after it.
func (q *Queue[T]) DropStale() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, c := range q.conversations {
		c.entries = slices.DeleteFunc(c.entries, q.stale)
		if len(c.entries) == 0 && !c.trying {
			delete(q.conversations, id)
		}
	}
	q.logChanges(time.Now())
}

// Add adds entries that were admitted and could not be handled, in their order;
// err as in [Queue.Run]. They are tried again at once.
func (q *Queue[T]) Add(entries []T, err error) {
	if len(entries) == 0 {
		return
	}
	now := time.Now()
	q.mu.Lock()
	for _, e := range entries {
		if q.stale(e) {
			continue
		}
		id := q.cfg.Conversation(e)
		c := q.conversations[id]
		if c == nil {
			c = &conversation[T]{id: id, due: now, retry: backoff.Backoff{InitialInterval: minInterval, MaxInterval: maxInterval}}
			q.conversations[id] = c
		}
		c.entries = append(c.entries, e)
		c.failed = c.failed || err != nil
	}
	q.logFailure(now, err)
	q.mu.Unlock()
	q.ready.Notify()
}

// logFailure logs why tries fail as a whole, at first and once a minute until none of
// these conversations waits. mu is held.
func (q *Queue[T]) logFailure(now time.Time, err error) {
	if err == nil || !q.failingSince.IsZero() && now.Sub(q.toldAt) < reminderInterval {
		return
	}
	if q.failingSince.IsZero() {
		q.failingSince = now
	}
	q.toldAt = now
	q.cfg.Logger.Error("messages could not be handled; trying again until it is said that none waits", "error", err, "since", now.Sub(q.failingSince).Round(time.Second))
}

// logChanges logs which waits have begun or ended. mu is held.
func (q *Queue[T]) logChanges(now time.Time) {
	failed, held := 0, 0
	var first chat.ConversationID
	for id, c := range q.conversations {
		if c.failed {
			failed++
		}
		if c.held {
			held++
			first = id
		}
	}
	if failed == 0 && !q.failingSince.IsZero() {
		q.cfg.Logger.Info("no message waits any more because it could not be handled", "after", now.Sub(q.failingSince).Round(time.Millisecond))
		q.failingSince = time.Time{}
	}
	switch {
	case held > 0 && q.held == 0:
		q.cfg.Logger.Warn("messages wait because their conversations cannot be changed now; trying again, others go on", "conversations", held, "one", first)
	case held == 0 && q.held > 0:
		q.cfg.Logger.Info("no conversation waits any more because it cannot be changed")
	}
	q.held = held
}

// Drain removes and returns everything, in the order of each conversation. Run
// must have returned.
func (q *Queue[T]) Drain() (entries []T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.conversations {
		entries = append(entries, c.entries...)
	}
	clear(q.conversations)
	return entries
}

// Run tries what waits until ctx ends. handle returns the entries that could not
// be handled, in their order; an error says that all of them failed, or an unknown
// part, for a reason that may have to do with none of them.
func (q *Queue[T]) Run(ctx context.Context, handle func(ctx context.Context, entries []T) (failed []T, err error)) {
	pause := backoff.Backoff{InitialInterval: minInterval, MaxInterval: maxInterval}
	for ctx.Err() == nil {
		entries, wait := q.take(time.Now())
		if len(entries) == 0 {
			var due <-chan time.Time
			if wait > 0 {
				due = time.After(wait)
			}
			select {
			case <-ctx.Done():
			case <-q.ready:
			case <-due:
			}
			continue
		}
		tried := len(entries)
		failed, err := handle(ctx, entries)
		q.putBack(failed, err)
		if len(failed) < tried {
			pause.Reset()
		}
		if err != nil {
			_ = backoff.Sleep(ctx, pause.Next())
		}
	}
}

// take returns the entries of the next try. When there are none, wait is the time
// until some are due, 0 when nothing waits.
func (q *Queue[T]) take(now time.Time) (entries []T, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.conversations) == 0 {
		return nil, 0
	}
	waiting := make([]*conversation[T], 0, len(q.conversations))
	for _, c := range q.conversations {
		waiting = append(waiting, c)
	}
	slices.SortFunc(waiting, func(x, y *conversation[T]) int { return cmp.Or(x.due.Compare(y.due), cmp.Compare(x.id, y.id)) })
	if wait = waiting[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	for i, c := range waiting {
		room := q.cfg.MaxBatch - len(entries)
		if i >= q.limit || room <= 0 || c.due.After(now) {
			break
		}
		n := min(len(c.entries), room)
		entries = append(entries, c.entries[:n]...)
		c.entries = c.entries[n:]
		c.trying = true
	}
	return entries, 0
}

// putBack ends a try.
func (q *Queue[T]) putBack(failed []T, err error) {
	now := time.Now()
	again := map[chat.ConversationID][]T{}
	for _, e := range failed {
		id := q.cfg.Conversation(e)
		again[id] = append(again[id], e)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	tried := 0
	for id, c := range q.conversations {
		if !c.trying {
			continue
		}
		tried++
		c.trying = false
		c.failed = len(again[id]) > 0 && err != nil
		c.held = len(again[id]) > 0 && (err == nil || c.held)
		c.entries = append(slices.DeleteFunc(again[id], q.stale), c.entries...)
		switch {
		case len(c.entries) == 0:
			delete(q.conversations, id)
		case len(again[id]) == 0:
			c.due = now
			c.retry.Reset()
		case err != nil:
			c.due = now // after those that were not tried
		default:
			c.due = now.Add(c.retry.Next())
		}
	}
	switch {
	case err == nil || len(again) < tried:
		q.limit = min(q.limit, math.MaxInt/2) * 2
	default:
		q.limit = max(1, tried/2)
	}
	q.logFailure(now, err)
	q.logChanges(now)
}
