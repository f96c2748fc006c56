package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// A batch is removed in stages, each a walk over its accounts or conversations
// in steps of bounded work. Nothing is kept between two steps but what stands
// in the tables, so that a removal goes on where it was, whoever goes on. A
// step holds the batch, and takes conversations once, in the order of their ids.
type stage int

const (
	inUse   stage = iota
	locking       // accounts are disabled and their sessions end
	parting       // conversations are left, or removed
	looking       // in those that stay: who wrote there?
	ending        // accounts go
)

const (
	// lookRatio is how many messages are looked at for the cost of removing one.
	lookRatio = 10
	// partAtOnce is how many accounts part at once; each may be in many
	// conversations.
	partAtOnce = 200
	endAtOnce  = store.RemovalWork / 4
)

// RemoveBatch does a step of a removal; see the contract.
func (s *Store) RemoveBatch(ctx context.Context, name string) (store.Removal, error) {
	return change(ctx, s, "remove a batch", func(t *tx) (none store.Removal, err error) {
		b, err := t.batch(name, forUpdate)
		if err := notFound(b != nil, err, "batch"); err != nil {
			return none, err
		}
		r := &removing{tx: t, batch: b, out: store.Removal{Ended: map[chat.UserID][]chat.SessionID{}}}
		for {
			did, err := r.step()
			if err != nil {
				return none, err
			}
			if did {
				_, err = t.exec(`UPDATE batches SET stage = $2, reached = $3 WHERE id = $1`, b.id, b.stage, b.reached)
				return r.out, err
			}
			if b.stage == ending {
				_, err = t.exec(`DELETE FROM batches WHERE id = $1`, b.id)
				r.out.Done = true
				return r.out, err
			}
			b.stage, b.reached = b.stage+1, 0
		}
	})
}

// removing is a step of a removal.
type removing struct {
	*tx
	batch *batch
	out   store.Removal
}

// step does some work of the stage, or tells that there is none left.
func (r *removing) step() (did bool, err error) {
	switch r.batch.stage {
	case locking:
		return r.lockUsers()
	case parting:
		// What was begun is ended first: it can be seen no more.
		if did, err = r.erase(); err != nil || did {
			return did, err
		}
		return r.part()
	case looking:
		return r.look()
	case ending:
		return r.end()
	}
	return false, nil
}

func idsOf[T ~int64](t *tx, sql string, args ...any) ([]T, error) {
	rows, err := t.Query(t.ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// next are accounts of the batch that the stage is not through with; it is now.
func (r *removing) next(limit int) ([]int64, error) {
	users, err := idsOf[int64](r.tx, `SELECT id FROM users WHERE batch = $1 AND id > $2 ORDER BY id LIMIT $3`, r.batch.id, r.batch.reached, limit)
	if len(users) > 0 {
		r.batch.reached = users[len(users)-1]
	}
	return users, err
}

func (r *removing) lockUsers() (bool, error) {
	users, err := r.next(store.RemovalWork / 2)
	if err != nil || len(users) == 0 {
		return false, err
	}
	rows, err := r.Query(r.ctx, `DELETE FROM sessions WHERE account = ANY($1) RETURNING account, id`, users)
	if err != nil {
		return false, err
	}
	var user chat.UserID
	var session chat.SessionID
	if _, err := pgx.ForEachRow(rows, []any{&user, &session}, func() error {
		r.out.Ended[user] = append(r.out.Ended[user], session)
		return nil
	}); err != nil {
		return false, err
	}
	_, err = r.exec(`UPDATE users SET disabled = true WHERE id = ANY($1)`, users)
	return true, err
}

// place is an account's place in a conversation.
type place struct {
	conversation chat.ConversationID
	user         chat.UserID
	kind         chat.Kind
	role         chat.Role
	others       bool // somebody else is, or was, in it
}

// part takes accounts out of their conversations.
func (r *removing) part() (bool, error) {
	users, err := r.next(partAtOnce)
	if err != nil || len(users) == 0 {
		return false, err
	}
	taken, err := idsOf[int64](r.tx, `SELECT id FROM conversations WHERE id IN (SELECT conversation FROM members WHERE account = ANY($1))
		ORDER BY id FOR NO KEY UPDATE`, users)
	if err != nil {
		return false, err
	}
	rows, err := r.Query(r.ctx, `WITH others AS MATERIALIZED (SELECT c.id, c.kind,
				EXISTS (SELECT FROM batch_conversations b WHERE b.batch = $3 AND b.conversation = c.id)
				OR EXISTS (SELECT FROM members m JOIN users u ON u.id = m.account WHERE m.conversation = c.id AND u.batch IS DISTINCT FROM $3) AS found
			FROM conversations c WHERE c.id = ANY($2))
		SELECT m.conversation, m.account, o.kind, m.role, o.found FROM members m JOIN others o ON o.id = m.conversation
		WHERE m.account = ANY($1) ORDER BY m.conversation, m.account`, users, taken, r.batch.id)
	if err != nil {
		return false, err
	}
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p place, err error) {
		err = row.Scan(&p.conversation, &p.user, &p.kind, &p.role, &p.others)
		return p, err
	})
	if err != nil {
		return false, err
	}
	var closed, stay []int64
	for _, p := range places {
		switch {
		case !p.others:
			closed = append(closed, int64(p.conversation))
			continue
		case !chat.MayLeave(p.kind):
			continue
		}
		stay = append(stay, int64(p.conversation))
		if p.role == "" {
			continue
		}
		out, err := storetx.RemoveMember(r.tx, p.conversation, p.user, p.user)
		if err != nil {
			return false, err
		}
		r.out.Partings = append(r.out.Partings, store.Parting{User: p.user, Change: out})
	}
	if _, err := r.exec(`INSERT INTO batch_conversations (batch, conversation, stays) SELECT $1::bigint, k, true FROM unnest($2::bigint[]) k
		ON CONFLICT DO NOTHING`, r.batch.id, stay); err != nil {
		return false, err
	}
	return true, r.closeAll(closed)
}

// closeAll takes everybody out of conversations that will be removed, and makes
// them such that nobody can find or join: from here on they are seen by no one.
func (r *removing) closeAll(conversations []int64) error {
	for _, sql := range [...]string{
		`DELETE FROM links WHERE conversation = ANY($1)`,
		`DELETE FROM members WHERE conversation = ANY($1)`,
	} {
		if _, err := r.exec(sql, conversations); err != nil {
			return err
		}
	}
	if _, err := r.exec(`UPDATE conversations SET kind = $2, low = NULL, high = NULL, members = 0, rev = rev + 1, members_rev = rev + 1,
		change = pg_current_xact_id() WHERE id = ANY($1)`, conversations, chat.Group); err != nil {
		return err
	}
	_, err := r.exec(`INSERT INTO batch_conversations (batch, conversation, stays) SELECT DISTINCT $1::bigint, k, false FROM unnest($2::bigint[]) k`,
		r.batch.id, conversations)
	return err
}

// walk is a conversation on its way through batch_conversations: its messages
// above low and up to high are next, of last in all.
type walk struct{ conversation, low, high, last int64 }

func (r *removing) walks(stays bool, limit int, hold string) ([]walk, error) {
	rows, err := r.Query(r.ctx, `SELECT c.id, b.seq, c.seq FROM batch_conversations b JOIN conversations c ON c.id = b.conversation
		WHERE b.batch = $1 AND b.stays = $2 ORDER BY c.id LIMIT $3 `+hold, r.batch.id, stays, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w walk, err error) {
		err = row.Scan(&w.conversation, &w.low, &w.last)
		w.high = w.last
		return w, err
	})
}

// eraseAtOnce is how many conversations are removed at once, at most.
const eraseAtOnce = store.RemovalWork / 4

// erase removes messages of closed conversations, and those that have none.
func (r *removing) erase() (bool, error) {
	closed, err := r.walks(false, eraseAtOnce, `FOR UPDATE OF c`)
	if err != nil || len(closed) == 0 {
		return false, err
	}
	var all, low, high, ended []int64
	for left := int64(store.RemovalWork); len(closed) > 0 && left > 0; closed = closed[1:] {
		w := closed[0]
		w.high = min(w.last, w.low+left)
		left -= w.high - w.low
		all, low, high = append(all, w.conversation), append(low, w.low+1), append(high, w.high)
		if w.high == w.last {
			ended = append(ended, w.conversation)
		} else if err := r.through(w); err != nil {
			return false, err
		}
	}
	if err := r.eraseMessages(all, low, high); err != nil {
		return false, err
	}
	for _, sql := range [...]string{
		`DELETE FROM spans WHERE conversation = ANY($1)`,
		`DELETE FROM batch_conversations WHERE conversation = ANY($1)`,
		`DELETE FROM conversations WHERE id = ANY($1)`,
	} {
		if _, err := r.exec(sql, ended); err != nil {
			return false, err
		}
	}
	r.out.Conversations += len(ended)
	return true, nil
}

// eraseMessages removes what lies between low and high, in the months where it
// lies, and what was noted of it. What is in a month that was detached is not
// found, and its names stay taken.
func (r *removing) eraseMessages(conversations, low, high []int64) error {
	const ranges = `unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k (conversation, low, high)`
	var n int
	if _, err := r.one([]any{&n}, `WITH k AS MATERIALIZED (SELECT k.*, `+monthOf("k.conversation", "k.low")+` AS since,
				`+monthOf("k.conversation", "k.high")+` AS until FROM `+ranges+` WHERE k.low <= k.high),
			gone AS (DELETE FROM messages m USING k WHERE m.conversation = k.conversation AND m.seq BETWEEN k.low AND k.high
				AND m.month BETWEEN k.since AND k.until RETURNING m.client_id, m.sender),
			names AS (DELETE FROM sends s USING gone g WHERE s.client_id = g.client_id AND s.sender = g.sender)
		SELECT count(*) FROM gone`, conversations, low, high); err != nil {
		return err
	}
	r.out.Messages += n
	_, err := r.exec(`DELETE FROM amendments a USING `+ranges+` WHERE a.conversation = k.conversation AND a.seq BETWEEN k.low AND k.high`,
		conversations, low, high)
	return err
}

// through notes how far a walk has come.
func (r *removing) through(w walk) error {
	_, err := r.exec(`UPDATE batch_conversations SET seq = $3 WHERE batch = $1 AND conversation = $2`, r.batch.id, w.conversation, w.high)
	return err
}

// look looks for authors in a conversation that stays. Nobody of the batch is
// in it any more, so no message of theirs can come behind.
func (r *removing) look() (bool, error) {
	stays, err := r.walks(true, 1, "")
	if err != nil || len(stays) == 0 {
		return false, err
	}
	w := stays[0]
	w.high = min(w.last, w.low+lookRatio*store.RemovalWork)
	if w.low < w.high {
		authors, err := idsOf[int64](r.tx, `WITH k AS MATERIALIZED (SELECT `+monthOf("$1", "$2")+` AS since, `+monthOf("$1", "$3")+` AS until)
			SELECT DISTINCT m.sender FROM k JOIN messages m ON m.conversation = $1 AND m.seq BETWEEN $2 AND $3
				AND m.month BETWEEN k.since AND k.until`, w.conversation, w.low+1, w.high)
		if err != nil {
			return false, err
		}
		if err := r.release(authors); err != nil {
			return false, err
		}
	}
	if w.high < w.last {
		return true, r.through(w)
	}
	_, err = r.exec(`DELETE FROM batch_conversations WHERE batch = $1 AND conversation = $2`, r.batch.id, w.conversation)
	return true, err
}

// release takes accounts out of the batch, where they are of it; they stay for
// ever.
func (r *removing) release(users []int64) error {
	_, err := r.exec(`UPDATE users SET batch = NULL, disabled = true WHERE id = ANY($1) AND batch = $2`, users, r.batch.id)
	return err
}

// end removes accounts that are in no conversation. One that is (a direct one
// cannot be left) is released.
func (r *removing) end() (bool, error) {
	users, err := r.next(endAtOnce)
	if err != nil || len(users) == 0 {
		return false, err
	}
	bound, err := idsOf[int64](r.tx, `SELECT DISTINCT account FROM members WHERE account = ANY($1) AND role <> ''`, users)
	if err != nil {
		return false, err
	}
	if err := r.release(bound); err != nil {
		return false, err
	}
	for _, table := range [...]string{`members`, `sessions`} {
		if _, err := r.exec(`DELETE FROM `+table+` WHERE account = ANY($1) AND account <> ALL($2)`, users, bound); err != nil {
			return false, err
		}
	}
	n, err := r.exec(`DELETE FROM users WHERE id = ANY($1) AND id <> ALL($2)`, users, bound)
	r.out.Accounts += int(n)
	return true, err
}
