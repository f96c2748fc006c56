package postgres

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// lookBack is how many of the latest messages are searched for the member's own
// last one.
const lookBack = "100"

// small is the size up to which the members of a conversation see each other's
// marks.
var small = strconv.Itoa(chat.SmallConversation)

// listEntry is a conversation of a list, with the transaction that changed it
// last. Role is empty for a conversation that the user has left.
type listEntry struct {
	chat.Summary
	change string
}

// summaries returns the conversations that the query selects (columns
// conversation, change and place; parameter 1 is the user), by place. It reads
// messages only for the selected ones, so that a page costs the same in a long
// list.
func summaries(ctx context.Context, q querier, by chat.UserID, pick string, args ...any) ([]listEntry, error) {
	rows, err := q.Query(ctx, `WITH picked AS MATERIALIZED (`+pick+`),
		mine AS MATERIALIZED (SELECT picked.place, picked.change, coalesce(m.role, '') AS role, coalesce(m.read, 0) AS read, c.low, c.high,
				`+conversationColumns+`, greatest(m.read, c.seq - `+lookBack+`, 0) AS seen,
				`+monthSQL("c.id", "greatest(m.read, c.seq - "+lookBack+", 0) + 1")+` AS since
			FROM picked JOIN conversations c ON c.id = picked.conversation
			LEFT JOIN members m ON m.account = $1 AND m.conversation = c.id)
		SELECT c.change::text, c.role, c.read, coalesce(p.account, 0), coalesce(p.read, 0), coalesce(p.received, 0), coalesce(others.read, 0), coalesce(own.seq, 0),
			`+conversationColumns+`, `+messageColumns+`
		FROM mine c
		LEFT JOIN members p ON c.low IS NOT NULL AND p.conversation = c.id AND p.account = CASE WHEN c.low = $1 THEN c.high ELSE c.low END
		LEFT JOIN LATERAL (SELECT max(o.read) AS read FROM members o
			WHERE c.low IS NULL AND c.members <= `+small+` AND o.conversation = c.id AND o.role <> '' AND o.account <> $1 AND o.marked <> '0') others ON true
		LEFT JOIN LATERAL (SELECT * FROM messages x WHERE x.conversation = c.id AND x.seq = c.seq AND x.month = c.month) g ON true
		LEFT JOIN LATERAL (SELECT o.seq FROM messages o
			WHERE c.seq > c.seen AND o.conversation = c.id AND o.seq > c.seen AND o.seq <= c.seq AND o.month BETWEEN c.since AND c.month AND o.sender = $1
			ORDER BY o.seq DESC LIMIT 1) own ON true
		ORDER BY c.place`, append([]any{by}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l listEntry, err error) {
		var c conversationRow
		var g messageRow
		var own int64
		fields := []any{&l.change, &l.Role, &l.Read, &l.Peer, &l.PeerRead, &l.PeerReceived, &l.OthersRead, &own}
		if err := row.Scan(append(append(fields, c.fields()...), g.fields()...)...); err != nil {
			return l, err
		}
		l.Conversation = c.conversation()
		l.Unread = max(0, l.Seq-max(l.Read, own))
		l.Last = g.message()
		return l, nil
	})
}

type changedPage struct {
	page []store.ChangedConversation
	next store.Position
	more bool
}

// selectAll selects the user's conversations after $2. It needs no order but that
// of the key, so that each page of a long list costs the same.
const selectAll = `SELECT conversation, '0'::xid8 AS change, conversation AS place FROM members
	WHERE account = $1 AND conversation > $2 AND role <> '' ORDER BY conversation LIMIT $3`

// changedSQL returns the condition that a user's membership m, its conversation c
// or, in a small one, the marks of others have changed since a snapshot; each by
// itself, because the later of two changes may be visible in a snapshot while the
// earlier one is not. Changes after the user has left are not considered. Marks
// have no index, which every mark would have to write: those of a few members are
// read faster.
func changedSQL(user, base string) string {
	return `CASE WHEN m.role = '' THEN NOT pg_visible_in_snapshot(m.change, ` + base + `)
		ELSE NOT pg_visible_in_snapshot(m.change, ` + base + `) OR NOT pg_visible_in_snapshot(c.change, ` + base + `)
			OR c.members <= ` + small + ` AND coalesce((SELECT true FROM members o WHERE o.conversation = m.conversation AND o.role <> '' AND o.account <> ` + user + `
				AND o.marked >= pg_snapshot_xmin(` + base + `) AND NOT pg_visible_in_snapshot(o.marked, ` + base + `) LIMIT 1), false) END`
}

// selectChanged selects what has changed. $2 is the snapshot that the device has
// seen, $3 and $4 the last row that it got in this round. Marks of others do not
// count in the order: what they add during the round is listed in the next one.
var selectChanged = `SELECT conversation, change, row_number() OVER (ORDER BY change, conversation) AS place FROM (
	SELECT m.conversation, CASE WHEN m.role = '' THEN m.change ELSE greatest(m.change, c.change) END AS change,
		` + changedSQL("$1", "(SELECT $2::text::pg_snapshot)") + ` AS changed
	FROM members m JOIN conversations c ON c.id = m.conversation WHERE m.account = $1) k
	WHERE (change, conversation) > ($3::text::xid8, $4::bigint) AND changed
	ORDER BY change, conversation LIMIT $5`

// Changed lists what has changed for a user; see the contract.
//
// A first round goes by conversation. What changes after its first page, and which
// conversations are left, is listed at its end, in a round of the usual kind.
func (s *Store) Changed(ctx context.Context, user chat.UserID, after store.Position, limit int) ([]store.ChangedConversation, store.Position, bool, error) {
	limit = max(limit, 1)
	out, err := read(ctx, s, "list what has changed", func(ctx context.Context, q querier) (out changedPage, err error) {
		// The snapshot is taken before the list is read: what commits between
		// the two is listed now and once more, which does no harm.
		now, epoch, err := s.snapshot(ctx)
		if err != nil {
			return out, err
		}
		p, err := parsePosition(after, epoch, now)
		if err != nil {
			return out, err
		}
		began := p.round == ""
		if began {
			p.round, p.xid, p.id = now, "0", 0
		}
		if p.base == "" {
			list, err := summaries(ctx, q, user, selectAll, p.id, limit+1)
			if err != nil {
				return out, err
			}
			out.add(list, limit, p)
			if out.more {
				return out, nil
			}
			out.next = position{epoch: epoch, base: p.round}.encode()
			if began {
				return out, nil // of one page; what follows it is for the next call
			}
			p.base, p.round, p.xid, p.id = p.round, now, "0", 0
		}
		left := limit - len(out.page)
		list, err := summaries(ctx, q, user, selectChanged, p.base, p.xid, p.id, left+1)
		if err != nil {
			return out, err
		}
		out.add(list, left, p)
		if !out.more {
			out.next = position{epoch: epoch, base: p.round}.encode()
		}
		return out, nil
	})
	return out.page, out.next, out.more, err
}

// add adds up to limit entries of a list, which has more when there are more. p is a
// position in the round.
func (c *changedPage) add(list []listEntry, limit int, p position) {
	if c.more = len(list) > limit; c.more {
		list = list[:limit]
	}
	for i := range list {
		if p.base != "" {
			p.xid = list[i].change
		}
		p.id = int64(list[i].ID)
		c.next = p.encode()
		c.page = append(c.page, store.ChangedConversation{Summary: list[i].Summary, Gone: list[i].Role == "", Next: c.next})
	}
}

// snapshot returns the current snapshot and the epoch that it is of. It looks at
// the server's timeline in the same statement, so that no device is told of one
// history as if it were another.
func (s *Store) snapshot(ctx context.Context) (now, epoch string, err error) {
	for range attempts {
		var same *bool
		if err := s.pool.QueryRow(ctx, `SELECT pg_current_snapshot()::text, epoch, `+s.sameTimeline()+` FROM installation`).Scan(&now, &epoch, &same); err != nil {
			return "", "", err
		}
		if same != nil && *same {
			return now, epoch, nil
		}
		if err := s.checkEpoch(ctx, s.pool); err != nil {
			return "", "", err
		}
	}
	return "", "", errUnsettled
}

// Recent lists by's conversations, the latest active first; see the contract.
func (s *Store) Recent(ctx context.Context, by chat.UserID, before time.Time, beforeID chat.ConversationID, limit int) ([]chat.Summary, error) {
	return read(ctx, s, "list conversations", func(ctx context.Context, q querier) ([]chat.Summary, error) {
		list, err := summaries(ctx, q, by, `SELECT m.conversation, '0'::xid8 AS change, row_number() OVER (ORDER BY c.active_at DESC, c.id DESC) AS place
			FROM members m JOIN conversations c ON c.id = m.conversation
			WHERE m.account = $1 AND m.role <> '' AND ($2::timestamptz IS NULL OR (c.active_at, c.id) < ($2, $3::bigint))
			ORDER BY c.active_at DESC, c.id DESC LIMIT $4`, timeOrNull(before), beforeID, max(limit, 0))
		out := make([]chat.Summary, len(list))
		for i := range list {
			out[i] = list[i].Summary
		}
		return out, err
	})
}

// selectHasChanged selects the places of the devices for which there is something
// to list, or whose snapshot is ahead of the current one.
var selectHasChanged = `WITH devices AS MATERIALIZED (
		SELECT account, base::pg_snapshot AS base, place FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS d (account, base, place))
	SELECT d.place - 1 FROM devices d WHERE pg_snapshot_xmax(d.base) > pg_snapshot_xmax(pg_current_snapshot()) OR EXISTS (
		SELECT FROM members m JOIN conversations c ON c.id = m.conversation WHERE m.account = d.account
			AND ` + changedSQL("d.account", "d.base") + `)
		OR EXISTS (SELECT FROM failures f WHERE f.sender = d.account AND f.change >= pg_snapshot_xmin(d.base) AND NOT pg_visible_in_snapshot(f.change, d.base))`

// HasChanged reports which devices lack something; see the contract.
func (s *Store) HasChanged(ctx context.Context, devices []store.Device) ([]bool, error) {
	changed := make([]bool, len(devices))
	epoch, _ := s.Epoch()
	var users []int64
	var bases []string
	var indexes []int // in devices
	for i, d := range devices {
		p, err := parsePosition(d.After, epoch, anySnapshot)
		if err != nil || p.base == "" || p.round != "" {
			changed[i] = true // also one that is still paging
			continue
		}
		users, bases, indexes = append(users, int64(d.User)), append(bases, p.base), append(indexes, i)
	}
	if len(indexes) == 0 {
		return changed, nil
	}
	return read(ctx, s, "look for changes", func(ctx context.Context, q querier) ([]bool, error) {
		rows, err := q.Query(ctx, selectHasChanged, users, bases)
		if err != nil {
			return nil, err
		}
		places, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		for _, place := range places {
			changed[indexes[place]] = true
		}
		return changed, err
	})
}

// selectFirstSeqAfter finds, by binary search, the seq of the first message that
// was stored after rev $4; it is between $2 and $3. A message that does not exist
// is of a month that was detached. Those are the oldest months, so the result
// comes after it.
const selectFirstSeqAfter = `WITH RECURSIVE search (low, high) AS (
		SELECT $2::bigint, $3::bigint
		UNION ALL
		SELECT CASE WHEN g.rev > $4 THEN s.low ELSE x.mid + 1 END, CASE WHEN g.rev > $4 THEN x.mid ELSE s.high END
		FROM search s CROSS JOIN LATERAL (SELECT (s.low + s.high) / 2 AS mid) x
		LEFT JOIN LATERAL (SELECT m.rev FROM messages m WHERE m.conversation = $1 AND m.seq = x.mid AND m.month = (
			SELECT month FROM spans WHERE conversation = $1 AND first_seq <= x.mid ORDER BY first_seq DESC LIMIT 1)) g ON true
		WHERE s.low < s.high)
	SELECT low FROM search WHERE low >= high`

// Changes returns the messages that have changed after rev; see the contract. It
// merges those that are unchanged since they were stored with those that were
// changed, both in the order of their rev.
func (s *Store) Changes(ctx context.Context, id chat.ConversationID, by chat.UserID, rev int64, limit int) (page []chat.Message, head int64, err error) {
	page, err = read(ctx, s, "read changes", func(ctx context.Context, _ querier) (out []chat.Message, err error) {
		// Several statements that must see one state.
		err = pgx.BeginTxFunc(ctx, s.pool, readOneStateOptions, func(t pgx.Tx) error {
			out, head, err = changesAfter(ctx, t, id, by, max(rev, 0), max(limit, 0))
			return err
		})
		return out, err
	})
	return page, head, err
}

func changesAfter(ctx context.Context, q querier, id chat.ConversationID, by chat.UserID, rev int64, limit int) (page []chat.Message, head int64, err error) {
	var last int64
	found, err := queryRow(ctx, q, []any{&last, &head}, `SELECT c.seq, c.rev FROM conversations c
		JOIN members m ON m.account = $2 AND m.conversation = c.id AND m.role <> '' WHERE c.id = $1`, id, by)
	if err := notFound(found, err, "conversation"); err != nil || limit == 0 || rev >= head {
		return nil, head, err
	}
	// The rev with which a message was stored is its seq plus the number of other
	// changes before it, which leaves very little to search.
	others := head - last
	low, high := max(1, rev-others+1), min(rev+1, last+1)
	from := high
	if low < high {
		if _, err := queryRow(ctx, q, []any{&from}, selectFirstSeqAfter, id, low, high, rev); err != nil {
			return nil, 0, err
		}
	}
	out, err := collectMessages(q.Query(ctx, `SELECT `+messageColumns+` FROM messages g WHERE g.conversation = $1 AND g.seq >= $2
		AND g.month >= `+monthSQL("$1", "$2")+` AND g.changed_rev IS NULL ORDER BY g.seq LIMIT $3`, id, from, limit))
	if err != nil {
		return nil, 0, err
	}
	// The limit applies after the join: changes of a detached month no longer
	// exist, and must not end the page.
	changed, err := collectMessages(q.Query(ctx, `SELECT `+messageColumns+` FROM amendments a
		JOIN messages g ON g.conversation = a.conversation AND g.seq = a.seq AND g.month = a.month
		WHERE a.conversation = $1 AND a.rev > $2 ORDER BY a.rev LIMIT $3`, id, rev, limit))
	if err != nil {
		return nil, 0, err
	}
	out = append(out, changed...)
	slices.SortFunc(out, func(a, b chat.Message) int { return int(a.Rev - b.Rev) })
	return out[:min(len(out), limit)], head, nil
}
