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

// MessageFinder finds stored messages by client id; see store.Messages.
type MessageFinder interface {
	FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]*chat.Message, error)
}

// idempotencyCache finds out whether a client id is already used for another
// text, before the message is accepted. It is needed with brokers that confirm
// a message before the store has checked its client id (G2).
//
// A client id contains the time at which a device made it (UUIDv7). An id whose
// time is close to now can only have been used moments ago, and the cache holds
// the ids that went through this gateway for that long. Any other id is looked
// up in the store. One case is left: a device that uses one id for two texts
// within seconds and through two gateways. The worker finds it, and answers
// failed{conflict}.
type idempotencyCache struct {
	g       *Gateway
	seed    maphash.Seed
	lookups *batching.Queue[*idLookup]

	mu        sync.Mutex
	current   map[store.SendKey]uint64 // fingerprints of the current period
	previous  map[store.SendKey]uint64 // fingerprints of the period before it
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
	// maxClockSkew is how far the time of a client id may be from now; ids
	// beyond it are looked up.
	maxClockSkew = 5 * time.Second
	// retention is how long a client id is kept at least: longer than
	// maxClockSkew on both sides of now.
	retention = 3 * maxClockSkew
	// maxLookupBatch is the maximum number of client ids of one look-up.
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

// idState is what is known about a client id.
type idState int

const (
	idFree     idState = iota // not used, or used with this text
	idConflict                // used with another text
	idUnknown                 // must be looked up
)

// check returns the state of a client id as far as the cache knows. It does not
// change the cache.
func (c *idempotencyCache) check(user chat.UserID, f *wire.Send) idState {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if stored, ok := c.get(store.SendKey{Sender: user, ClientID: f.ID}, now); ok {
		return compareFingerprints(stored, c.fingerprint(f))
	}
	if age := now.Sub(f.ID.Time()); age > maxClockSkew || age < -maxClockSkew {
		return idUnknown
	}
	return idFree
}

// reserve stores the fingerprint of a send under its client id. It returns
// idConflict when the id was reserved for another text meanwhile.
func (c *idempotencyCache) reserve(user chat.UserID, f *wire.Send) idState {
	key, fingerprint := store.SendKey{Sender: user, ClientID: f.ID}, c.fingerprint(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if stored, ok := c.get(key, time.Now()); ok {
		return compareFingerprints(stored, fingerprint)
	}
	c.current[key] = fingerprint
	return idFree
}

// get returns the fingerprint that is stored under a key. c.mu must be held.
func (c *idempotencyCache) get(key store.SendKey, now time.Time) (fingerprint uint64, ok bool) {
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

// lookUp asks the store about a client id that the cache does not know. It
// blocks until the store answers or ctx ends.
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

// run looks up client ids in batches: all that were added while the previous
// batch was looked up are the next one.
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
