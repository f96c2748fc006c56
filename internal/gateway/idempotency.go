package gateway

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// MessageFinder finds what was stored under names of messages; see store.Messages.
type MessageFinder interface {
	FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]*chat.Message, error)
}

// idempotencyCache finds out whether a name is taken by another text before the message
// is accepted, where the broker accepts before anyone looks (G2).
//
// A name carries the time at which a device made it. One that is fresh can have
// been used moments ago at most, and the gateway remembers that long what went
// through it; any other is looked up. What is left is a device that uses one
// name for two texts within seconds and through two gateways: the worker finds
// that, and answers failed{conflict}.
type idempotencyCache struct {
	g       *Gateway
	seed    maphash.Seed
	lookups *batching.Queue[*idLookup]

	mu        sync.Mutex
	current   map[store.SendKey]uint64 // texts of the present period
	previous  map[store.SendKey]uint64 // of the period before it
	rotatedAt time.Time
}

type idLookup struct {
	key  store.SendKey
	done chan lookupResult
}

type lookupResult struct {
	message *chat.Message
	err     error
}

const (
	// fresh is how far a name's time may be from now.
	maxClockSkew = 5 * time.Second
	// claimPeriod is how long a name is remembered at least: longer than it
	// is fresh, on either side of now.
	retention = 3 * maxClockSkew
	// lookupBatch bounds how many names are looked up at once.
	maxLookupBatch = 500
)

func newIdempotencyCache(g *Gateway) *idempotencyCache {
	return &idempotencyCache{g: g, seed: maphash.MakeSeed(), lookups: batching.NewQueue[*idLookup](), current: map[store.SendKey]uint64{}, rotatedAt: time.Now()}
}

func (c *idempotencyCache) fingerprint(f *wire.Send) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	maphash.WriteComparable(&h, f.Conversation)
	maphash.WriteComparable(&h, f.ReplyTo)
	_, _ = h.WriteString(f.Body)
	return h.Sum64()
}

// idState is what memory says about a name.
type idState int

const (
	idFree     idState = iota // nobody has used it, or with this text
	idConflict                // it is taken by another text
	idUnknown                 // it must be looked up
)

// check tells what memory says of a name. It keeps nothing.
func (c *idempotencyCache) check(user chat.UserID, f *wire.Send) idState {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if had, ok := c.get(store.SendKey{Sender: user, ClientID: f.ID}, now); ok {
		return compareFingerprints(had, c.fingerprint(f))
	}
	if age := now.Sub(f.ID.Time()); age > maxClockSkew || age < -maxClockSkew {
		return idUnknown
	}
	return idFree
}

// reserve gives a name that is free to a text. It is a conflict when another text
// has taken it since.
func (c *idempotencyCache) reserve(user chat.UserID, f *wire.Send) idState {
	key, text := store.SendKey{Sender: user, ClientID: f.ID}, c.fingerprint(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if had, ok := c.get(key, time.Now()); ok {
		return compareFingerprints(had, text)
	}
	c.current[key] = text
	return idFree
}

// get is the text that a name was given to. c.mu is held.
func (c *idempotencyCache) get(key store.SendKey, now time.Time) (text uint64, ok bool) {
	if now.Sub(c.rotatedAt) >= retention {
		c.previous, c.current, c.rotatedAt = c.current, map[store.SendKey]uint64{}, now
	}
	if text, ok = c.current[key]; !ok {
		text, ok = c.previous[key]
	}
	return text, ok
}

func compareFingerprints(had, text uint64) idState {
	if had != text {
		return idConflict
	}
	return idFree
}

// lookUp asks the store about a name that memory does not know. It waits.
func (c *idempotencyCache) lookUp(ctx context.Context, user chat.UserID, f *wire.Send) (idState, error) {
	l := &idLookup{key: store.SendKey{Sender: user, ClientID: f.ID}, done: make(chan lookupResult, 1)}
	c.lookups.Add(l)
	var a lookupResult
	select {
	case a = <-l.done:
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	if a.err != nil {
		return idUnknown, a.err
	}
	s := chat.Submission{Conversation: f.Conversation, Body: f.Body, ReplyTo: f.ReplyTo}
	if a.message != nil && !a.message.SameAs(&s) {
		return idConflict, nil
	}
	return idFree, nil
}

// run answers look-ups: all that gathered while the last ones were under way
// together.
func (c *idempotencyCache) run() { c.lookups.Run(c.g.ctx, maxLookupBatch, c.resolve) }

func (c *idempotencyCache) resolve(ctx context.Context, lookups []*idLookup) {
	keys := make([]store.SendKey, len(lookups))
	for i, l := range lookups {
		keys[i] = l.key
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := c.g.deps.Messages.FindByClientID(ctx, keys)
	for _, l := range lookups {
		l.done <- lookupResult{message: found[l.key], err: err}
	}
}
