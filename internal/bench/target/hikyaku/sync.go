package hikyaku

import (
	"slices"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// sayPatience is how long a socket may take to be made.
	readyTimeout = time.Minute
	// unanswered is how long a sync may be without an answer, before it is sent
	// again. It is noticed at a heartbeat.
	syncTimeout = 5 * time.Second
	// refusedPause is how long a sync waits that the server refused.
	syncRetryDelay = time.Second
)

// sendSync sends a frame from where nobody may wait: whoever reads this socket reads
// others, too. A loss is noticed there.
func (c *conn) sendSync(frame wire.Sync) {
	go func() {
		select {
		case <-c.ready:
			_ = c.socket.Send(frame)
		case <-time.After(readyTimeout):
		}
	}()
}

// resendLater sends frames that the server refused again.
func (c *conn) resendLater(frames ...wire.Sync) {
	time.AfterFunc(syncRetryDelay, func() {
		for i := range frames {
			c.sendSync(frames[i])
		}
	})
}

// newSyncID makes the id of a sync: what is asked for, and a number, so that a late
// answer is known as one.
func (c *conn) newSyncID(what string) string {
	c.syncs++
	return what + "." + strconv.Itoa(c.syncs)
}

// newListSync is the next question which conversations changed.
func (c *conn) newListSync() wire.Sync {
	c.listSentAt, c.listID = time.Now(), c.newSyncID("list")
	return c.listSync()
}

func (c *conn) listSync() wire.Sync { return wire.Sync{T: "sync", ID: c.listID, Cursor: c.sync.cursor} }

// syncList asks which conversations changed.
func (c *conn) syncList() {
	if !c.listSentAt.IsZero() {
		c.listAgain = true
		return
	}
	c.sendSync(c.newListSync())
}

// handleSynced takes the answer. What a person's first connection finds is where
// they begin.
//
// The cursor moves before what changed has come: a conversation whose changes
// did not come, on a connection that was lost, is in no list any more. So all
// that are behind are asked for, not only those in the list.
func (c *conn) handleSynced(f client.Frame) {
	var v wire.Synced
	if err := f.Into(&v); err != nil || v.ID != c.listID || c.listSentAt.IsZero() {
		return
	}
	c.listSentAt = time.Time{}
	c.sync.cursor = v.Cursor
	for i := range v.Conversations {
		summary := &v.Conversations[i]
		room, ok := c.site.index[summary.ID.String()]
		if !ok {
			continue
		}
		s := c.sync.rooms[room]
		if s == nil {
			continue
		}
		if !c.sync.listed {
			c.sync.advance(s, summary.Rev, 0)
		}
		c.sync.advance(s, 0, summary.Read)
		s.latest = max(s.latest, summary.Rev)
	}
	for room, s := range c.sync.rooms {
		c.catchUp(room, s)
	}
	if v.More || c.listAgain {
		c.listAgain = false
		c.syncList()
		return
	}
	c.sync.listed = true
	c.checkSynced()
}

// catchUp asks for the changes of a conversation that are missing, unless it
// has.
func (c *conn) catchUp(room int, s *roomState) {
	if s.rev >= s.latest || s.syncing() {
		return
	}
	g := s.ensureGap()
	g.sentAt, g.id, g.upTo = time.Now(), c.newSyncID(c.site.rooms[room].String()), s.latest
	c.sendSync(c.changesSync(room, s))
}

func (c *conn) changesSync(room int, s *roomState) wire.Sync {
	return wire.Sync{T: "sync", ID: s.gap.id, Conversation: c.site.rooms[room], Rev: s.rev}
}

func (c *conn) handleChanges(f client.Frame) {
	var v wire.Changes
	if err := f.Into(&v); err != nil {
		return
	}
	room, ok := c.site.index[v.Conversation.String()]
	if !ok {
		return
	}
	s := c.sync.rooms[room]
	if s == nil || s.gap == nil {
		return // nobody asked
	}
	g, had := s.gap, s.rev
	for i := range v.Messages {
		m := &v.Messages[i]
		if m.Rev <= had {
			continue
		}
		if c.isSynced { // else this is what was missed while the person was away
			c.site.repaired.Add(1)
		}
		body := []byte(m.Body)
		c.on.Received(room, m.Seq, body)
		if !c.wasPushedEarly(room, s, m.Rev, m.Seq, body) {
			g.awaitingPush.add(m.Rev)
		}
	}
	c.sync.advance(s, v.Rev, 0)
	if s.syncing() && g.id == v.ID {
		g.sentAt = time.Time{}
		if !v.More { // then the changes up to there that are not in it are none of messages
			c.sync.advance(s, g.upTo, 0)
		}
	}
	c.catchUp(room, s)
	c.checkSynced()
}

// wasPushedEarly tells whether a message that is passed on now was pushed before its
// turn, and passes it on as often as it was pushed like that again.
func (c *conn) wasPushedEarly(room int, s *roomState, rev, seq int64, body []byte) bool {
	g := s.gap
	if g == nil || !g.pushedEarly.remove(rev) {
		return false
	}
	g.pushedAgain = slices.DeleteFunc(g.pushedAgain, func(r int64) bool {
		if r == rev {
			c.on.Received(room, seq, body)
		}
		return r == rev
	})
	return true
}

// checkSynced says that nothing is missing, when it is so for the first time.
func (c *conn) checkSynced() {
	if c.isSynced || !c.sync.listed || !c.listSentAt.IsZero() {
		return
	}
	for _, s := range c.sync.rooms {
		if s.rev < s.latest {
			return
		}
	}
	c.isSynced = true
	close(c.synced)
}

// handleError hears that the server did not do what it was asked. When it was asked
// too much at once it does not say which of all that was: then everything that
// has no answer yet is asked again, and an answer too many does no harm.
func (c *conn) handleError(f client.Frame) {
	var v wire.ErrorFrame
	if f.Into(&v) != nil {
		return
	}
	now := time.Now()
	if v.ID != "" {
		c.resendLater(c.unansweredSyncs(func(id string, _ time.Time) bool { return id == v.ID }, now)...)
	} else if now.Sub(c.refusedAt) > syncRetryDelay { // once for a burst
		c.refusedAt = now
		c.resendLater(c.unansweredSyncs(func(string, time.Time) bool { return true }, now)...)
	}
}

// resendUnanswered repeats what had no answer for too long. Whichever answer comes
// first is taken.
func (c *conn) resendUnanswered(now time.Time) {
	for _, frame := range c.unansweredSyncs(func(_ string, asked time.Time) bool { return now.Sub(asked) > syncTimeout }, now) {
		c.sendSync(frame)
	}
}

// unansweredSyncs gives those syncs without an answer that are wanted, as asked now.
func (c *conn) unansweredSyncs(wanted func(id string, asked time.Time) bool, now time.Time) (frames []wire.Sync) {
	if !c.listSentAt.IsZero() && wanted(c.listID, c.listSentAt) {
		c.listSentAt = now
		frames = append(frames, c.listSync())
	}
	for room, s := range c.sync.rooms {
		if s.syncing() && wanted(s.gap.id, s.gap.sentAt) {
			s.gap.sentAt = now
			frames = append(frames, c.changesSync(room, s))
		}
	}
	return frames
}
