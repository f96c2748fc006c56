package submission

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// MessageFinder finds what was stored under client ids; see store.Messages.
type MessageFinder interface {
	FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]*chat.Message, error)
}

// IdempotencyCache finds out whether a client id is taken by another text
// before the message is accepted, where the broker accepts before anyone looks
// (G2).
//
// An id carries the time at which a device made it. One that is fresh can have
// been used moments ago at most, and the process remembers that long what went
// through it; any other is looked up. What is left is a device that uses one id
// for two texts within seconds and through two processes: the worker finds
// that, and answers failed{conflict}. It is safe for concurrent use.
type IdempotencyCache struct {
	messages MessageFinder
	seed     maphash.Seed
	waiting  *batching.Queue[*lookup]

	mu       sync.Mutex
	current  map[store.SendKey]uint64 // hashes of the texts of the present period
	previous map[store.SendKey]uint64 // of the period before it
	rotated  time.Time
}

// lookup is an id that the store is asked about.
type lookup struct {
	key  store.SendKey
	done chan lookupResult
}

type lookupResult struct {
	message *chat.Message
	err     error
}

const (
	// fresh is how far an id's time may be from now.
	fresh = 5 * time.Second
	// period is how long an id is remembered at least: longer than it is
	// fresh, on either side of now.
	period = 3 * fresh
	// lookupBatch bounds how many ids are looked up at once.
	lookupBatch = 500
	// lookupTimeout bounds how long that may take.
	lookupTimeout = 10 * time.Second
)

// NewIdempotencyCache makes a cache that remembers nothing. Run must run for
// ids to be looked up.
func NewIdempotencyCache(messages MessageFinder) *IdempotencyCache {
	return &IdempotencyCache{
		messages: messages, seed: maphash.MakeSeed(), waiting: batching.NewQueue[*lookup](),
		current: map[store.SendKey]uint64{}, rotated: time.Now(),
	}
}

// idState is what is known about a client id.
type idState int

const (
	idFree    idState = iota // nobody has used it, or with this text
	idTaken                  // it stands for another text
	idUnknown                // it must be looked up
)

func keyOf(s *chat.Submission) store.SendKey {
	return store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
}

// hash is of all that a client id stands for.
func (c *IdempotencyCache) hash(s *chat.Submission) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	maphash.WriteComparable(&h, s.Conversation)
	maphash.WriteComparable(&h, s.ReplyTo)
	_, _ = h.WriteString(s.Body)
	return h.Sum64()
}

// cached tells what memory knows of an id. It keeps nothing.
func (c *IdempotencyCache) cached(s *chat.Submission) idState {
	now := time.Now()
	if state := c.remembered(s, now); state != idUnknown {
		return state
	}
	if age := now.Sub(s.ClientID.Time()); age > fresh || age < -fresh {
		return idUnknown
	}
	return idFree
}

// remembered is cached for an id of any age, which is unknown unless it went
// through this process.
func (c *IdempotencyCache) remembered(s *chat.Submission, now time.Time) idState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if had, ok := c.get(keyOf(s), now); ok {
		return stateOf(had, c.hash(s))
	}
	return idUnknown
}

// take gives an id that is free to a text. It is taken when another text has
// got it since.
func (c *IdempotencyCache) take(s *chat.Submission) idState {
	key, text := keyOf(s), c.hash(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if had, ok := c.get(key, time.Now()); ok {
		return stateOf(had, text)
	}
	c.current[key] = text
	return idFree
}

// get returns the hash of the text that an id was given to. c.mu is held.
func (c *IdempotencyCache) get(key store.SendKey, now time.Time) (text uint64, ok bool) {
	if now.Sub(c.rotated) >= period {
		c.previous, c.current, c.rotated = c.current, map[store.SendKey]uint64{}, now
	}
	if text, ok = c.current[key]; !ok {
		text, ok = c.previous[key]
	}
	return text, ok
}

func stateOf(had, text uint64) idState {
	if had != text {
		return idTaken
	}
	return idFree
}

// find is cached that asks the store when memory does not know; certain has it
// ask about fresh ids as well.
func (c *IdempotencyCache) find(ctx context.Context, s *chat.Submission, certain bool) (idState, error) {
	state := c.cached(s)
	if certain {
		state = c.remembered(s, time.Now())
	}
	if state != idUnknown {
		return state, nil
	}
	l := &lookup{key: keyOf(s), done: make(chan lookupResult, 1)}
	c.waiting.Add(l)
	var r lookupResult
	select {
	case r = <-l.done:
	case <-ctx.Done():
		r.err = ctx.Err()
	}
	if r.err != nil {
		return idUnknown, r.err
	}
	if r.message != nil && !r.message.SameAs(s) {
		return idTaken, nil
	}
	return idFree, nil
}

// Run looks ids up until ctx ends: all that gathered while the last ones were
// under way together.
func (c *IdempotencyCache) Run(ctx context.Context) { c.waiting.Run(ctx, lookupBatch, c.lookUp) }

func (c *IdempotencyCache) lookUp(ctx context.Context, lookups []*lookup) {
	keys := make([]store.SendKey, len(lookups))
	for i, l := range lookups {
		keys[i] = l.key
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := c.messages.FindByClientID(ctx, keys)
	for _, l := range lookups {
		l.done <- lookupResult{message: found[l.key], err: err}
	}
}
