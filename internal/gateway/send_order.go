package gateway

import (
	"cmp"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// sendOrder keeps the order of one connection's messages to a conversation (G3)
// when some of them are refused and may be retried. A client sends more messages
// before it receives a refusal. Messages that arrive after a refused one must
// wait for it: they are refused too, until the first one was sent again.
//
// Only the client ends the wait: it sends the refused message again, withdraws
// it, or closes the connection. Time does not, because a client whose uplink
// stalls for a minute has not given its message up. A client that does neither
// holds up its own messages to that conversation on that connection, and nothing
// else; each of their refusals names the message that it owes.
//
// Each send gets a number when it arrives. A refused send keeps the number of
// its first arrival, so that retries are accepted in the order in which the
// messages were first sent, whatever was refused meanwhile.
//
// # Over connections
//
// The order holds over connections as well, although gateways know nothing of
// each other and an old connection's sends may be published late: by a gateway
// process that was stopped for a while and finds them in its receive buffer, or
// by a node of the broker. A client begins each connection with all messages that
// have no final answer, in order. So whatever a connection publishes, every
// earlier message was published on that connection before, or is in the queue
// already because its client was told so, or will not be sent again. Late sends
// of old connections then repeat a beginning of what newer ones send. Wherever
// they fall between these, the store takes the first of each message, and the
// firsts are in order.
//
// What does not hold, because the client's word and the server's have missed each
// other:
//
//   - A message that was given up without a final answer may still be stored, at
//     a later place. A send that was withdrawn after it was refused before it
//     reached the broker is not stored.
//   - A refusal that was final but did not reach the client does not hold up the
//     next messages. When the client sends the refused one again on another
//     connection, and there it is not refused because something has changed in
//     these seconds (the sender has become a member again), it is behind them.
//
// It is not safe for concurrent use.
type sendOrder struct {
	refused    map[chat.ConversationID][]refusedSend // by arrival
	count      int32                                 // in refused, at most maxRefused
	overflowed bool                                  // maxRefused was exceeded: nothing more may be published
}

type refusedSend struct {
	id      chat.ClientID
	arrival int64
}

// maxRefused is the maximum number of refused sends that are kept for a
// connection.
const maxRefused = 1024

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

// mustWait reports whether an earlier message to the conversation was refused,
// and was neither sent again nor withdrawn since.
func (o *sendOrder) mustWait(conversation chat.ConversationID, arrival int64) bool {
	if o.overflowed {
		return true
	}
	_, waits := o.firstRefused(conversation, arrival)
	return waits
}

// firstRefused returns the first refused message to the conversation that
// arrived before the given number.
func (o *sendOrder) firstRefused(conversation chat.ConversationID, arrival int64) (first chat.ClientID, found bool) {
	waiting := o.refused[conversation]
	if len(waiting) == 0 || waiting[0].arrival >= arrival {
		return first, false
	}
	return waiting[0].id, true
}

// refuse records a refused send that may be sent again. It reports false when
// maxRefused is exceeded: the order on this connection can no longer be kept.
func (o *sendOrder) refuse(conversation chat.ConversationID, id chat.ClientID, arrival int64) bool {
	if o.overflowed {
		return false
	}
	waiting := o.refused[conversation]
	newest := len(waiting) == 0 || waiting[len(waiting)-1].arrival < arrival
	if !newest && slices.ContainsFunc(waiting, func(r refusedSend) bool { return r.id == id }) {
		return true
	}
	if o.count >= maxRefused {
		o.refused, o.count, o.overflowed = nil, 0, true
		return false
	}
	place, _ := slices.BinarySearchFunc(waiting, arrival, func(r refusedSend, arrival int64) int { return cmp.Compare(r.arrival, arrival) })
	o.count++
	o.set(conversation, slices.Insert(waiting, place, refusedSend{id: id, arrival: arrival}))
	return true
}

// remove removes a refused send, because it was published or refused finally. It
// reports whether there was one.
func (o *sendOrder) remove(conversation chat.ConversationID, id chat.ClientID) bool {
	waiting := o.refused[conversation]
	i := slices.IndexFunc(waiting, func(r refusedSend) bool { return r.id == id })
	if i < 0 {
		return false
	}
	o.count--
	o.set(conversation, slices.Delete(waiting, i, i+1))
	return true
}

// withdraw removes the refused sends of a message that its client will not send
// again. It reports whether there was one.
func (o *sendOrder) withdraw(id chat.ClientID) bool {
	found := false
	for conversation := range o.refused {
		found = o.remove(conversation, id) || found
	}
	return found
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
