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

// claims finds out whether a name is taken by another text before the message
// is accepted, where the broker accepts before anyone looks (G2).
//
// A name carries the time at which a device made it. One that is fresh can have
// been used moments ago at most, and the gateway remembers that long what went
// through it; any other is looked up. What is left is a device that uses one
// name for two texts within seconds and through two gateways: the worker finds
// that, and answers failed{conflict}.
type claims struct {
	g       *Gateway
	seed    maphash.Seed
	waiting *batching.Queue[*lookup]

	mu     sync.Mutex
	now    map[store.SendKey]uint64 // texts of the present period
	before map[store.SendKey]uint64 // of the period before it
	turned time.Time
}

type lookup struct {
	key  store.SendKey
	done chan answer
}

type answer struct {
	message *chat.Message
	err     error
}

const (
	// fresh is how far a name's time may be from now.
	fresh = 5 * time.Second
	// claimPeriod is how long a name is remembered at least: longer than it
	// is fresh, on either side of now.
	claimPeriod = 3 * fresh
	// lookupBatch bounds how many names are looked up at once.
	lookupBatch = 500
)

func newClaims(g *Gateway) *claims {
	return &claims{g: g, seed: maphash.MakeSeed(), waiting: batching.NewQueue[*lookup](), now: map[store.SendKey]uint64{}, turned: time.Now()}
}

func (c *claims) textOf(f *wire.Send) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	maphash.WriteComparable(&h, f.Conversation)
	maphash.WriteComparable(&h, f.ReplyTo)
	_, _ = h.WriteString(f.Body)
	return h.Sum64()
}

// verdict is what memory says about a name.
type verdict int

const (
	free     verdict = iota // nobody has used it, or with this text
	conflict                // it is taken by another text
	unknown                 // it must be looked up
)

// look tells what memory says of a name. It keeps nothing.
func (c *claims) look(user chat.UserID, f *wire.Send) verdict {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if had, ok := c.had(store.SendKey{Sender: user, ClientID: f.ID}, now); ok {
		return verdictOn(had, c.textOf(f))
	}
	if age := now.Sub(f.ID.Time()); age > fresh || age < -fresh {
		return unknown
	}
	return free
}

// take gives a name that is free to a text. It is a conflict when another text
// has taken it since.
func (c *claims) take(user chat.UserID, f *wire.Send) verdict {
	key, text := store.SendKey{Sender: user, ClientID: f.ID}, c.textOf(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if had, ok := c.had(key, time.Now()); ok {
		return verdictOn(had, text)
	}
	c.now[key] = text
	return free
}

// had is the text that a name was given to. c.mu is held.
func (c *claims) had(key store.SendKey, now time.Time) (text uint64, ok bool) {
	if now.Sub(c.turned) >= claimPeriod {
		c.before, c.now, c.turned = c.now, map[store.SendKey]uint64{}, now
	}
	if text, ok = c.now[key]; !ok {
		text, ok = c.before[key]
	}
	return text, ok
}

func verdictOn(had, text uint64) verdict {
	if had != text {
		return conflict
	}
	return free
}

// lookUp asks the store about a name that memory does not know. It waits.
func (c *claims) lookUp(ctx context.Context, user chat.UserID, f *wire.Send) (verdict, error) {
	l := &lookup{key: store.SendKey{Sender: user, ClientID: f.ID}, done: make(chan answer, 1)}
	c.waiting.Add(l)
	var a answer
	select {
	case a = <-l.done:
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	if a.err != nil {
		return unknown, a.err
	}
	s := chat.Submission{Conversation: f.Conversation, Body: f.Body, ReplyTo: f.ReplyTo}
	if a.message != nil && !a.message.SameAs(&s) {
		return conflict, nil
	}
	return free, nil
}

// run answers look-ups: all that gathered while the last ones were under way
// together.
func (c *claims) run() { c.waiting.Run(c.g.ctx, lookupBatch, c.answer) }

func (c *claims) answer(ctx context.Context, lookups []*lookup) {
	keys := make([]store.SendKey, len(lookups))
	for i, l := range lookups {
		keys[i] = l.key
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := c.g.parts.Messages.FindByClientID(ctx, keys)
	for _, l := range lookups {
		l.done <- answer{message: found[l.key], err: err}
	}
}
