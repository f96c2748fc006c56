package gateway

import (
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
	at      time.Time // of the last refusal
}

const (
	// refusedTTL is how long messages wait for a refused one that is not sent
	// again: its client has given it up.
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
	waiting, ok := o.refused[conversation]
	if !ok {
		return false
	}
	for len(waiting) > 0 && waiting[0].arrival < arrival {
		if now.Sub(waiting[0].at) < refusedTTL {
			return true
		}
		waiting = waiting[1:]
		o.count--
	}
	o.set(conversation, waiting)
	return false
}

// refuse records a refused send. It reports false when maxRefused is exceeded:
// the order on this connection can no longer be kept.
func (o *sendOrder) refuse(conversation chat.ConversationID, id chat.ClientID, arrival int64, now time.Time) bool {
	waiting := o.refused[conversation]
	for i := range waiting {
		if waiting[i].id == id {
			waiting[i].at = now
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
	place, _ := slices.BinarySearchFunc(waiting, arrival, func(r refusedSend, arrival int64) int { return int(r.arrival - arrival) })
	o.count++
	o.set(conversation, slices.Insert(waiting, place, refusedSend{id: id, arrival: arrival, at: now}))
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
		left := slices.DeleteFunc(waiting, func(r refusedSend) bool { return now.Sub(r.at) >= refusedTTL })
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
