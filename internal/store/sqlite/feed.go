package sqlite

import (
	"context"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// lookBack is how many of the latest messages are searched for the member's own
// last one.
const lookBack = "100"

// small is the size up to which the members of a conversation see each other's
// marks.
var small = strconv.Itoa(chat.SmallConversation)

// latestChange is the number of the last change of a user's membership m, its
// conversation c or, in a small one, the marks of others. Changes after the user
// has left are not considered. The members are looked through only when the user
// moved a mark last, and nothing else has happened since.
var latestChange = `CASE WHEN m.role = '' THEN m.change
	WHEN c.members > ` + small + ` OR c.marked <= max(m.change, c.change) THEN max(m.change, c.change)
	WHEN c.marked <> m.marked THEN c.marked
	ELSE max(m.change, c.change, coalesce((
		SELECT max(o.marked) FROM members o INDEXED BY members_by_conversation
		WHERE o.slot = m.slot AND o.role <> '' AND o.user <> ?1), 0)) END`

// listEntry is a conversation of a list, with the key that orders the list. Role
// is empty for a conversation that the user has left.
type listEntry struct {
	chat.Summary
	key int64
}

// summaries returns the conversations that the query selects (columns slot and k,
// parameter 1 is the user), by ascending k. It reads messages only for the
// selected ones, so that a page costs the same in a long list.
func summaries(c *conn, by chat.UserID, pick string, args ...any) (out []listEntry, err error) {
	err = c.query(`WITH picked AS MATERIALIZED (`+pick+`)
		SELECT picked.k, m.role, m.read, p.user, p.read, p.received, (
				SELECT max(o.read) FROM members o INDEXED BY members_by_conversation
				WHERE c.low IS NULL AND c.marked > 0 AND c.members <= `+small+` AND o.slot = c.slot AND o.role <> '' AND o.user <> ?1 AND o.marked > 0),
			CASE WHEN c.seq > m.read THEN (
				SELECT o.place FROM messages o
				WHERE o.place > (c.slot << 32 | max(m.read, c.seq - `+lookBack+`)) AND o.place <= (c.slot << 32 | c.seq) AND +o.sender = ?1
				ORDER BY o.place DESC LIMIT 1) END, `+conversationColumns+`, `+messageColumns+`
		FROM picked CROSS JOIN conversations c ON c.slot = picked.slot
		LEFT JOIN members m ON m.user = ?1 AND m.slot = c.slot
		LEFT JOIN members p ON c.low IS NOT NULL AND p.slot = c.slot AND p.user = iif(c.low = ?1, c.high, c.low)
		LEFT JOIN messages g ON g.place = (c.slot << 32 | c.seq)
		ORDER BY picked.k`, func(r row) error {
		l := listEntry{key: r.int(0)}
		l.Role, l.Read = chat.Role(r.text(1)), r.int(2)
		l.Peer, l.PeerRead, l.PeerReceived = r.user(3), r.int(4), r.int(5)
		l.OthersRead = r.int(6)
		own := seqOf(r.int(7))
		r = r[8:]
		_, l.Conversation, _, _ = scanConversation(r)
		l.Unread = max(0, l.Seq-max(l.Read, own))
		if r = r[conversationWidth:]; !r.null(0) {
			last := scanMessage(r)
			l.Last = &last
		}
		out = append(out, l)
		return nil
	}, append([]any{by}, args...)...)
	return out, err
}

type changedPage struct {
	page []store.ChangedConversation
	next store.Position
	more bool
}

// selectAll selects the user's conversations after a slot. It needs no order but that
// of the key, so that each page of a long list costs the same.
const selectAll = `SELECT slot, slot AS k FROM members WHERE user = ?1 AND slot > ?2 AND role <> '' ORDER BY slot LIMIT +?3`

// selectChangedSince selects what has changed after a number. Changes of a
// conversation after the user has left it are not considered.
var selectChangedSince = `SELECT * FROM (
		SELECT m.slot, ` + latestChange + ` AS k
		FROM members m CROSS JOIN conversations c ON c.slot = m.slot WHERE m.user = ?1)
	WHERE k > ?2 ORDER BY k LIMIT +?3`

// Changed lists what has changed for a user; see the contract.
//
// A first round goes by conversation. What changes after its first page, and which
// conversations are left, is listed at its end, in the order of the changes.
func (s *Store) Changed(ctx context.Context, user chat.UserID, after store.Position, limit int) ([]store.ChangedConversation, store.Position, bool, error) {
	// The epoch before anything is read: a position must not be newer than it says.
	epoch, _ := s.epoch.Epoch()
	p, err := s.parsePosition(epoch, after)
	if err == nil && after == "" {
		p.change, err = s.committedChange(ctx)
	}
	if err != nil {
		return nil, "", false, err
	}
	limit = max(limit, 1)
	out, err := read(ctx, s, "list what has changed", func(c *conn) (out changedPage, err error) {
		if after == "" || p.slot > 0 {
			list, err := summaries(c, user, selectAll, p.slot, limit+1)
			if err != nil {
				return out, err
			}
			out.add(list, limit, func(slot int64) store.Position { return position{change: p.change, slot: slot}.encode(epoch) })
			if out.more {
				return out, nil
			}
			out.next = position{change: p.change}.encode(epoch)
			if after == "" {
				return out, nil // of one page; what follows it is for the next call
			}
		}
		left := limit - len(out.page)
		list, err := summaries(c, user, selectChangedSince, p.change, left+1)
		if err != nil {
			return out, err
		}
		out.next = position{change: p.change}.encode(epoch)
		out.add(list, left, func(change int64) store.Position {
			p.change = change
			return position{change: change}.encode(epoch)
		})
		if !out.more { // what has failed by then was listed as well, see Failures
			_, err = c.queryRow(`SELECT max(change) FROM failures WHERE sender = ?`, func(r row) { p.change = max(p.change, r.int(0)) }, user)
			out.next = position{change: p.change}.encode(epoch)
		}
		return out, err
	})
	return out.page, out.next, out.more, err
}

// add adds up to limit entries of a list, which has more when there are more. next
// returns the position after an entry with a key.
func (p *changedPage) add(list []listEntry, limit int, next func(key int64) store.Position) {
	if p.more = len(list) > limit; p.more {
		list = list[:limit]
	}
	for i := range list {
		p.next = next(list[i].key)
		p.page = append(p.page, store.ChangedConversation{Summary: list[i].Summary, Gone: list[i].Role == "", Next: p.next})
	}
}

// Recent lists by's conversations, the latest active first; see the contract.
func (s *Store) Recent(ctx context.Context, by chat.UserID, before time.Time, beforeID chat.ConversationID, limit int) ([]chat.Summary, error) {
	at, id := int64(math.MaxInt64), chat.ConversationID(math.MaxInt64)
	if !before.IsZero() {
		at, id = before.UnixMilli(), beforeID
	}
	return read(ctx, s, "list conversations", func(c *conn) ([]chat.Summary, error) {
		list, err := summaries(c, by, `SELECT slot, row_number() OVER (ORDER BY active_at DESC, id DESC) AS k FROM (
			SELECT m.slot, c.active_at, c.id FROM members m CROSS JOIN conversations c ON c.slot = m.slot
			WHERE m.user = ?1 AND m.role <> '' AND (c.active_at, c.id) < (?2, ?3)
			ORDER BY c.active_at DESC, c.id DESC LIMIT +?4)`, at, id, max(limit, 0))
		out := make([]chat.Summary, len(list))
		for i := range list {
			out[i] = list[i].Summary
		}
		return out, err
	})
}

// HasChanged reports which devices lack something; see the contract.
func (s *Store) HasChanged(ctx context.Context, devices []store.Device) ([]bool, error) {
	return read(ctx, s, "look for changes", func(c *conn) ([]bool, error) {
		changed := make([]bool, len(devices))
		epoch, _ := s.epoch.Epoch()
		for i, d := range devices {
			p, err := s.parsePosition(epoch, d.After)
			if err != nil || d.After == "" || p.slot > 0 { // also one that is still paging
				changed[i] = true
				continue
			}
			changed[i], err = c.queryRow(`SELECT 1 FROM members m CROSS JOIN conversations c ON c.slot = m.slot
				WHERE m.user = ?1 AND `+latestChange+` > ?2
				UNION ALL SELECT 1 FROM failures WHERE sender = ?1 AND change > ?2 LIMIT 1`, func(row) {}, d.User, p.change)
			if err != nil {
				return nil, err
			}
		}
		return changed, nil
	})
}

const (
	selectUnchanged = `SELECT ` + messageColumns + ` FROM conversations c JOIN messages g ON g.place BETWEEN ?2 AND ?3
		WHERE c.slot = ?1 AND g.changed_rev IS NULL ORDER BY g.place LIMIT +?4`
	selectChanged = `SELECT ` + messageColumns + ` FROM conversations c JOIN messages g INDEXED BY messages_changed
		ON g.place >> 32 = ?1 AND g.changed_rev > ?2 WHERE c.slot = ?1 ORDER BY g.changed_rev LIMIT +?3`
)

// Changes returns the messages that have changed after rev; see the contract. It
// merges those that are unchanged since they were stored with those that were
// changed, both in the order of their rev.
func (s *Store) Changes(ctx context.Context, id chat.ConversationID, by chat.UserID, rev int64, limit int) (page []chat.Message, head int64, err error) {
	page, err = read(ctx, s, "read changes", func(c *conn) (out []chat.Message, err error) {
		v, err := conversationForReader(c, id, by)
		if err != nil {
			return nil, err
		}
		if head = v.Rev; limit <= 0 || rev >= head {
			return nil, nil
		}
		from, err := firstSeqAfter(c, &v, max(rev, 0))
		if err != nil {
			return nil, err
		}
		collect := func(r row) error {
			out = append(out, scanMessage(r))
			return nil
		}
		if err := c.query(selectUnchanged, collect, v.slot, messageKey(v.slot, from), messageKey(v.slot, v.Seq), limit); err != nil {
			return nil, err
		}
		if err := c.query(selectChanged, collect, v.slot, rev, limit); err != nil {
			return nil, err
		}
		slices.SortFunc(out, func(a, b chat.Message) int { return int(a.Rev - b.Rev) })
		return out[:min(len(out), limit)], nil
	})
	return page, head, err
}

// firstSeqAfter returns the seq of the first message that was stored after rev.
// The rev with which a message was stored is its seq plus the number of other
// changes before it, which leaves very little to search.
func firstSeqAfter(c *conn, v *readableConversation, rev int64) (int64, error) {
	others := v.Rev - v.Seq
	low, high := max(1, rev-others+1), min(rev+1, v.Seq+1)
	if low > high {
		return high, nil
	}
	var err error
	n := sort.Search(int(high-low), func(i int) bool {
		var stored int64
		if err == nil {
			_, err = c.queryRow(`SELECT rev FROM messages WHERE place = ?`,
				func(r row) { stored = r.int(0) }, messageKey(v.slot, low+int64(i)))
		}
		return stored > rev
	})
	return low + int64(n), err
}
