package hikyaku

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// syncState is a device's state of its conversations. It outlives connections,
// of which a user has one at a time: the goroutine that reads it, and its timer,
// hold mu.
type syncState struct {
	mu      sync.Mutex
	machine syncstate.Machine
	copies  map[chat.ConversationID]*copies // of the conversations in which something was missing once
}

// copies records how messages of a conversation arrived. One may arrive twice,
// pushed and in the answer to a sync; once, that is no duplicate.
type copies struct {
	pushedEarly  revs    // pushed before their turn; the answer will contain them
	pushedAgain  []int64 // revs that were pushed early again, once for each time
	awaitingPush revs    // in an answer, and not pushed yet
	whileUnknown revs    // pushed, and passed on, before the conversation was known; an answer may contain them
}

// maxPushedAgain bounds copies.pushedAgain. A run with so many has failed anyway.
const maxPushedAgain = 1000

func (s *syncState) ensureCopies(id chat.ConversationID) *copies {
	c := s.copies[id]
	if c == nil {
		if s.copies == nil {
			s.copies = map[chat.ConversationID]*copies{}
		}
		c = &copies{}
		s.copies[id] = c
	}
	return c
}

// connected starts a connection. A message that was pushed on the previous one
// before its turn, and left to a sync, may be pushed again.
func (c *conn) connected(me chat.UserID, epoch string) {
	s := c.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.copies {
		k.pushedEarly, k.pushedAgain = nil, nil
	}
	c.sendSyncs(s.machine.Connected(time.Now(), me, epoch))
}

// handleMessage takes a pushed message if it is the next change. A repeated one
// is passed on, so that the load tool finds it, and so is one of a conversation
// that the user is not in, which is not requested.
func (c *conn) handleMessage(raw []byte) {
	n, err := strconv.ParseInt(string(stringField(raw, `"conversation":"`)), 10, 64)
	if err != nil {
		return
	}
	id := chat.ConversationID(n)
	seq, err := strconv.ParseInt(string(numberField(raw, `"seq":`)), 10, 64)
	if err != nil {
		return
	}
	rev, err := strconv.ParseInt(string(numberField(raw, `"rev":`)), 10, 64)
	if err != nil {
		return
	}
	body := stringField(raw, `"body":"`)
	c.sync.mu.Lock()
	defer c.sync.mu.Unlock()
	if c.sync.machine.PushNext(id, rev) {
		if c.wasPushedEarly(id, rev, seq, body) {
			c.received(id, seq, body) // for the one before its turn
		}
		c.received(id, seq, body)
		return
	}
	if !c.sync.machine.Has(id) {
		c.sync.ensureCopies(id).whileUnknown.add(rev)
		c.received(id, seq, body)
		return
	}
	place, send := c.sync.machine.Push(time.Now(), id, rev)
	c.sendSyncs(send)
	switch place {
	case syncstate.Ahead:
		if k := c.sync.ensureCopies(id); !k.pushedEarly.has(rev) {
			k.pushedEarly.add(rev)
		} else if len(k.pushedAgain) < maxPushedAgain {
			k.pushedAgain = append(k.pushedAgain, rev)
		}
	case syncstate.Seen:
		if k := c.sync.copies[id]; k == nil || !k.awaitingPush.remove(rev) {
			c.received(id, seq, body)
		}
	}
}

func (c *conn) received(id chat.ConversationID, seq int64, body []byte) {
	if room, ok := c.site.index[id]; ok {
		c.on.Received(room, seq, body)
	}
}

// handleChanges handles the messages of an answer to a sync.
func (c *conn) handleChanges(messages []wire.Message) {
	for i := range messages {
		m := &messages[i]
		if k := c.sync.copies[m.Conversation]; k != nil && k.whileUnknown.remove(m.Rev) {
			continue
		}
		if c.isSynced { // otherwise the user missed it while disconnected
			c.site.repaired.Add(1)
		}
		body := []byte(m.Body)
		c.received(m.Conversation, m.Seq, body)
		if !c.wasPushedEarly(m.Conversation, m.Rev, m.Seq, body) {
			c.sync.ensureCopies(m.Conversation).awaitingPush.add(m.Rev)
		}
	}
}

// wasPushedEarly reports whether a message that is passed on now was pushed
// before its turn, and passes on the repeated pushes of it.
func (c *conn) wasPushedEarly(id chat.ConversationID, rev, seq int64, body []byte) bool {
	k := c.sync.copies[id]
	if k == nil || !k.pushedEarly.remove(rev) {
		return false
	}
	k.pushedAgain = slices.DeleteFunc(k.pushedAgain, func(r int64) bool {
		if r == rev {
			c.received(id, seq, body)
		}
		return r == rev
	})
	return true
}
