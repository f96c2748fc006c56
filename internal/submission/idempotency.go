package submission

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// MessageFinder finds what became of client ids; see store.Messages.
type MessageFinder interface {
	FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]chat.Earlier, error)
}

// IdempotencyCache finds out whether a client id is already used for another
// text, before the message is accepted. It is needed with brokers that confirm
// a message before the store has checked its client id (G2).
//
// A client id contains the time at which a device made it (UUIDv7). An id whose
// time is close to now can only have been used moments ago, and the cache holds
// the ids that went through this process for that long. Any other id is looked
// up in the store. One case is left: a device that uses one id for two texts
// within seconds and through two processes. The worker finds it, and answers
// failed{conflict} with the digest of the text that it is about.
//
// Only the store says that there is a conflict: which of two texts is stored is
// not known before one is. It is safe for concurrent use.
type IdempotencyCache struct {
	messages MessageFinder
	store    *circuitbreaker.Breaker
	seed     maphash.Seed
	lookups  *batching.Queue[*idLookup]

	mu        sync.Mutex
	current   map[store.SendKey]uint64 // fingerprints of the current period
	previous  map[store.SendKey]uint64 // fingerprints of the period before it
	rotatedAt time.Time
}

type idLookup struct {
	key     store.SendKey
	done    chan struct{} // closed when the rest is set
	earlier chat.Earlier
	err     error
}

const (
	// maxClockSkew is how far the time of a client id may be from now; ids
	// beyond it are looked up.
	maxClockSkew = 5 * time.Second
	// retention is how long a client id is kept at least: longer than
	// maxClockSkew on both sides of now.
	retention = 3 * maxClockSkew
	// maxLookupBatch is the maximum number of client ids of one look-up.
	maxLookupBatch = 500
	// lookupTimeout limits how long a look-up may take.
	lookupTimeout = 10 * time.Second
	// storePatience is how long a store that answers nothing is waited for. What
	// needs it then is refused at once, to be sent again.
	storePatience = time.Second
)

// NewIdempotencyCache returns an empty cache. Run must run for ids to be looked
// up.
func NewIdempotencyCache(messages MessageFinder, log *slog.Logger) *IdempotencyCache {
	return &IdempotencyCache{
		messages: messages, store: circuitbreaker.New(log, "client ids cannot be looked up; messages that need it are refused for now", "client ids can be looked up again"),
		seed: maphash.MakeSeed(), lookups: batching.NewQueue[*idLookup](),
		current: map[store.SendKey]uint64{}, rotatedAt: time.Now(),
	}
}

// Forget makes every id unknown: what was accepted may not be stored any more,
// because history went back.
func (c *IdempotencyCache) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.previous = map[store.SendKey]uint64{}, nil
}

// idState is what is known about a client id.
type idState int

const (
	idFree     idState = iota // not used, or used with this text
	idConflict                // seen with another text; which one is stored must be looked up
	idUnknown                 // must be looked up
)

func keyOf(s *chat.Submission) store.SendKey {
	return store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
}

func (c *IdempotencyCache) fingerprint(s *chat.Submission) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	maphash.WriteComparable(&h, s.Conversation)
	maphash.WriteComparable(&h, s.ReplyTo)
	_, _ = h.WriteString(s.Body)
	return h.Sum64()
}

// check returns the state of a client id as far as it is known without a
// look-up. It does not change the cache.
func (c *IdempotencyCache) check(s *chat.Submission) idState {
	now := time.Now()
	if state := c.checkCached(s, now); state != idUnknown {
		return state
	}
	if age := now.Sub(s.ClientID.Time()); age > maxClockSkew || age < -maxClockSkew {
		return idUnknown
	}
	return idFree
}

// checkCached is check by the entries of the cache alone, whatever the time of
// the id.
func (c *IdempotencyCache) checkCached(s *chat.Submission, now time.Time) idState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stored, ok := c.get(keyOf(s), now); ok {
		return compareFingerprints(stored, c.fingerprint(s))
	}
	return idUnknown
}

// reserve stores the fingerprint of a submission under its client id. It returns
// idConflict when the id was reserved for another text meanwhile.
func (c *IdempotencyCache) reserve(s *chat.Submission) idState {
	key, fingerprint := keyOf(s), c.fingerprint(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if stored, ok := c.get(key, time.Now()); ok {
		return compareFingerprints(stored, fingerprint)
	}
	c.current[key] = fingerprint
	return idFree
}

// get returns the fingerprint that is stored under a key. c.mu must be held.
func (c *IdempotencyCache) get(key store.SendKey, now time.Time) (fingerprint uint64, ok bool) {
	if now.Sub(c.rotatedAt) >= retention {
		c.previous, c.current, c.rotatedAt = c.current, map[store.SendKey]uint64{}, now
	}
	if fingerprint, ok = c.current[key]; !ok {
		fingerprint, ok = c.previous[key]
	}
	return fingerprint, ok
}

func compareFingerprints(stored, sent uint64) idState {
	if stored != sent {
		return idConflict
	}
	return idFree
}

// find finds out whether a submission may be published: not when the outcome is a
// refusal, or the message of an earlier submission of this one. With always, the
// time of the id does not count: it is looked up unless the cache has it. find
// blocks until the store answers or ctx ends, and not for long when the store
// answers nobody.
func (c *IdempotencyCache) find(ctx context.Context, s *chat.Submission, always bool) (chat.Outcome, error) {
	var state idState
	if always {
		state = c.checkCached(s, time.Now())
	} else {
		state = c.check(s)
	}
	switch state {
	case idConflict:
		return c.findConflict(ctx, s)
	case idUnknown:
		out, err := c.lookUp(ctx, s)
		// What was stored is published once more: then the worker sends the
		// message to its author, who may have missed that as well.
		return chat.Outcome{Refusal: out.Refusal}, err
	}
	return chat.Outcome{}, nil
}

// conflictWaits are the waits before the look-ups of an id that was seen with
// another text: that message is on its way to the store, which takes it a moment.
var conflictWaits = [...]time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond}

func (c *IdempotencyCache) findConflict(ctx context.Context, s *chat.Submission) (chat.Outcome, error) {
	for _, wait := range conflictWaits {
		if err := backoff.Sleep(ctx, wait); err != nil {
			return chat.Outcome{}, err
		}
		out, err := c.lookUp(ctx, s)
		if err != nil || out.Verdict != 0 || out.Refusal != nil {
			return out, err
		}
	}
	return chat.Outcome{}, errIDOnItsWay
}

// lookUp returns the answer to s that the store has, if it has one.
func (c *IdempotencyCache) lookUp(ctx context.Context, s *chat.Submission) (out chat.Outcome, err error) {
	l := &idLookup{key: keyOf(s), done: make(chan struct{})}
	err = c.store.Await(ctx, storePatience, func() <-chan struct{} {
		c.lookups.Add(l)
		return l.done
	})
	if err == nil {
		err = l.err
	}
	if err != nil {
		return out, &LookupError{"the client id", err}
	}
	out.Message, out.Verdict, out.Refusal = l.earlier.Answer(s)
	return out, nil
}

// Run looks up client ids in batches until ctx ends: all that were added while
// the previous batch was looked up are the next one.
func (c *IdempotencyCache) Run(ctx context.Context) { c.lookups.Run(ctx, maxLookupBatch, c.resolve) }

func (c *IdempotencyCache) resolve(ctx context.Context, lookups []*idLookup) {
	keys := make([]store.SendKey, len(lookups))
	for i, l := range lookups {
		keys[i] = l.key
	}
	bounded, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := c.messages.FindByClientID(bounded, keys)
	if ctx.Err() == nil { // otherwise the process stops
		c.store.Record(time.Now(), err)
	}
	for _, l := range lookups {
		l.earlier, l.err = found[l.key], err
		close(l.done)
	}
}
