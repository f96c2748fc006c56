package gateway

import (
	"cmp"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// sendOrder keeps the order of one connection's messages to a conversation (G3)
// when some of them are refused and may be retried. A client sends more messages
// before it receives a refusal. Messages that arrive after a refused one must
// wait for it: they are refused too, until the first one was sent again.
//
// Each send gets a number when it arrives. A refused send keeps the number of
// its first arrival, so that retries are accepted in the order in which the
// messages were first sent, whatever was refused meanwhile.
//
// It is not safe for concurrent use.
type sendOrder struct {
	refused    map[chat.ConversationID][]refusedSend // by arrival
	count      int                                   // in refused
	overflowed bool                                  // maxRefused was exceeded: nothing more may be published
}

type refusedSend struct {
	id      chat.ClientID
	arrival int64
	until   time.Time // later messages do not wait for it any longer
}

const (
	// refusedTTL is how long messages wait for a refused one that is not sent
	// again, from the time at which it may be: its client has given it up.
	refusedTTL = 30 * time.Second
	// maxRefused is the maximum number of refused sends that are kept for a
	// connection.
	maxRefused = 1024
)

// arrivalOf returns the number of a send's first arrival when the send was
// refused before, and arrival otherwise.
func (o *sendOrder) arrivalOf(conversation chat.ConversationID, id chat.ClientID, arrival int64) int64 {
	for _, r := range o.refused[conversation] {
		if r.id == id {
			return r.arrival
		}
	}
	return arrival
}

// mustWait reports whether an earlier message to the conversation was refused
// and was not sent again since.
func (o *sendOrder) mustWait(conversation chat.ConversationID, arrival int64, now time.Time) bool {
	if o.overflowed {
		return true
	}
	_, waits := o.firstRefused(conversation, arrival, now)
	return waits
}

// firstRefused returns the first refused send to the conversation that arrived
// before the given number. It drops those that have expired.
func (o *sendOrder) firstRefused(conversation chat.ConversationID, arrival int64, now time.Time) (first refusedSend, found bool) {
	waiting, ok := o.refused[conversation]
	if !ok {
		return first, false
	}
	expired := 0
	for expired < len(waiting) && waiting[expired].arrival < arrival && !now.Before(waiting[expired].until) {
		expired++
	}
	if expired > 0 {
		o.count -= expired
		waiting = slices.Delete(waiting, 0, expired)
		o.set(conversation, waiting)
	}
	if len(waiting) == 0 || waiting[0].arrival >= arrival {
		return first, false
	}
	return waiting[0], true
}

// refuse records a refused send that may be sent again after a time. A send that
// waits for an earlier one is given up with that one, however often it comes. It
// reports false when maxRefused is exceeded: the order on this connection can no
// longer be kept.
func (o *sendOrder) refuse(conversation chat.ConversationID, id chat.ClientID, arrival int64, now time.Time, retryAfter time.Duration) bool {
	if o.overflowed {
		return false
	}
	until := now.Add(retryAfter + refusedTTL)
	if first, waits := o.firstRefused(conversation, arrival, now); waits {
		until = first.until
	}
	waiting := o.refused[conversation]
	for i := range waiting {
		if waiting[i].id == id {
			waiting[i].until = until
			return true
		}
	}
	if o.count >= maxRefused {
		o.dropExpired(now)
		waiting = o.refused[conversation]
	}
	if o.count >= maxRefused {
		o.refused, o.count, o.overflowed = nil, 0, true
		return false
	}
	place, _ := slices.BinarySearchFunc(waiting, arrival, func(r refusedSend, arrival int64) int { return cmp.Compare(r.arrival, arrival) })
	o.count++
	o.set(conversation, slices.Insert(waiting, place, refusedSend{id: id, arrival: arrival, until: until}))
	return true
}

// remove removes a refused send, because it was published or refused finally.
func (o *sendOrder) remove(conversation chat.ConversationID, id chat.ClientID) {
	waiting := o.refused[conversation]
	if i := slices.IndexFunc(waiting, func(r refusedSend) bool { return r.id == id }); i >= 0 {
		o.count--
		o.set(conversation, slices.Delete(waiting, i, i+1))
	}
}

func (o *sendOrder) dropExpired(now time.Time) {
	for conversation, waiting := range o.refused {
		left := slices.DeleteFunc(waiting, func(r refusedSend) bool { return !now.Before(r.until) })
		o.count -= len(waiting) - len(left)
		o.set(conversation, left)
	}
}

func (o *sendOrder) set(conversation chat.ConversationID, waiting []refusedSend) {
	switch {
	case len(waiting) == 0:
		delete(o.refused, conversation)
	case o.refused == nil:
		o.refused = map[chat.ConversationID][]refusedSend{conversation: waiting}
	default:
		o.refused[conversation] = waiting
	}
}
