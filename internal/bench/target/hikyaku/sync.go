package hikyaku

import (
	"slices"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// readyTimeout bounds the wait until a socket is open.
	readyTimeout = time.Minute
	// syncTimeout is how long a sync may be unanswered before it is sent again.
	// It is checked at each heartbeat.
	syncTimeout = 5 * time.Second
	// syncRetryDelay is the delay after which a refused sync is sent again.
	syncRetryDelay = time.Second
)

// sendSync sends a frame without blocking: the goroutine that reads this socket
// reads others, too. The reader notices a lost connection.
func (c *conn) sendSync(frame wire.Sync) {
	go func() {
		select {
		case <-c.ready:
			_ = c.socket.Send(frame)
		case <-time.After(readyTimeout):
		}
	}()
}

// resendLater sends frames again that the server refused.
func (c *conn) resendLater(frames ...wire.Sync) {
	time.AfterFunc(syncRetryDelay, func() {
		for i := range frames {
			c.sendSync(frames[i])
		}
	})
}

// newSyncID returns the id of a sync: what is requested, and a number, so that
// a late answer is recognized.
func (c *conn) newSyncID(what string) string {
	c.syncs++
	return what + "." + strconv.Itoa(c.syncs)
}

// newListSync returns the next request for the conversations that changed.
func (c *conn) newListSync() wire.Sync {
	c.listSentAt, c.listID = time.Now(), c.newSyncID("list")
	return c.listSync()
}

func (c *conn) listSync() wire.Sync { return wire.Sync{T: "sync", ID: c.listID, Cursor: c.sync.cursor} }

// syncList requests the conversations that changed.
func (c *conn) syncList() {
	if !c.listSentAt.IsZero() {
		c.listAgain = true
		return
	}
	c.sendSync(c.newListSync())
}

// handleSynced handles the list of conversations that changed. A user starts at
// the state that the first connection finds.
//
// The cursor moves before the changes have arrived. If the connection is lost
// before they have, no later list contains that conversation. So all
// conversations that are behind are requested, not only those in the list.
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

// catchUp requests the missing changes of a conversation, unless a sync is
// under way.
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
		return // not requested
	}
	g, had := s.gap, s.rev
	for i := range v.Messages {
		m := &v.Messages[i]
		if m.Rev <= had {
			continue
		}
		if c.isSynced { // otherwise the user missed it while disconnected
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
		if !v.More { // then the changes up to upTo that are not in it are not messages
			c.sync.advance(s, g.upTo, 0)
		}
	}
	c.catchUp(room, s)
	c.checkSynced()
}

// wasPushedEarly reports whether a message that is passed on now was pushed
// before its turn, and passes on the repeated pushes of it.
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

// checkSynced closes synced when nothing is missing for the first time.
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

// handleError handles a refused request. When there were too many requests the
// server does not say which one it refused: then everything unanswered is
// requested again, and a surplus answer does no harm.
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

// resendUnanswered repeats requests that were unanswered for too long.
// Whichever answer comes first is used.
func (c *conn) resendUnanswered(now time.Time) {
	for _, frame := range c.unansweredSyncs(func(_ string, asked time.Time) bool { return now.Sub(asked) > syncTimeout }, now) {
		c.sendSync(frame)
	}
}

// unansweredSyncs returns the unanswered syncs that wanted selects, and sets
// their time to now.
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
