package rabbitmq

import "github.com/hikyaku-chat/hikyaku/internal/chat"

// waitingParts is what a batcher has not begun to handle, in order of arrival. Several
// calls of the handler may be in progress at once, but one conversation is in one of
// them only: what comes for a conversation that is, is passed over until that call has
// ended. So the order within conversations holds, whichever call is faster.
//
// The zero waitingParts is empty and ready to be used. It is not safe for concurrent use.
type waitingParts struct {
	parts  []part
	of     map[chat.ConversationID]int      // how many of parts are of a conversation; without zeros
	inCall map[chat.ConversationID]struct{} // conversations that are in a call
	free   int                              // how many of parts are of no conversation that is
}

// add appends what has arrived.
func (w *waitingParts) add(p part) {
	if w.of == nil {
		w.of, w.inCall = map[chat.ConversationID]int{}, map[chat.ConversationID]struct{}{}
	}
	c := p.conversation()
	w.parts = append(w.parts, p)
	w.of[c]++
	if _, is := w.inCall[c]; !is {
		w.free++
	}
}

// oldest returns the part that has waited for the longest time, of those that are of no
// conversation in a call. There must be one.
func (w *waitingParts) oldest() part {
	for _, p := range w.parts {
		if _, is := w.inCall[p.conversation()]; !is {
			return p
		}
	}
	panic("nothing that could be handled waits")
}

// take removes and returns up to n parts, the oldest first, of conversations that are in
// no call.
func (w *waitingParts) take(n int) (taken []part) {
	n = min(n, w.free)
	taken = make([]part, 0, n)
	var passed []part
	at := 0
	for ; len(taken) < n; at++ {
		p := w.parts[at]
		c := p.conversation()
		if _, is := w.inCall[c]; is {
			passed = append(passed, p)
			continue
		}
		taken = append(taken, p)
		if w.of[c]--; w.of[c] == 0 {
			delete(w.of, c)
		}
	}
	w.free -= len(taken)
	begin := at - len(passed)
	copy(w.parts[begin:], passed)
	clear(w.parts[:begin]) // for the garbage collector
	if w.parts = w.parts[begin:]; len(w.parts) == 0 {
		w.parts = nil
	}
	return taken
}

// begin notes that the conversations of parts are in a call now. It returns them.
func (w *waitingParts) begin(parts []part) (conversations []chat.ConversationID) {
	for _, p := range parts {
		c := p.conversation()
		if _, is := w.inCall[c]; !is {
			w.inCall[c] = struct{}{}
			w.free -= w.of[c]
			conversations = append(conversations, c)
		}
	}
	return conversations
}

// end notes that the call with these conversations has ended.
func (w *waitingParts) end(conversations []chat.ConversationID) {
	for _, c := range conversations {
		delete(w.inCall, c)
		w.free += w.of[c]
	}
}

// remove removes the parts that match.
func (w *waitingParts) remove(matches func(part) bool) {
	parts := w.parts
	w.parts, w.free = nil, 0
	clear(w.of)
	for _, p := range parts {
		if !matches(p) {
			w.add(p)
		}
	}
}
