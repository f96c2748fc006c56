package sqlite

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// A batch is removed in stages, each a walk over its accounts or conversations
// in steps of bounded work. Nothing is kept between two steps but what stands
// in the tables, so that a removal goes on where it was, whoever goes on.
type stage int

const (
	inUse   stage = iota
	locking       // accounts are disabled and their sessions end
	parting       // conversations are left, or removed
	looking       // in those that stay: who wrote there?
	ending        // accounts go
)

// lookRatio is how many messages are looked at for the cost of removing one.
const lookRatio = 10

// RemoveBatch does a step of a removal; see the contract.
func (s *Store) RemoveBatch(ctx context.Context, name string) (store.Removal, error) {
	return change(ctx, s, "remove a batch", func(t *tx) (none store.Removal, err error) {
		b, err := t.batch(name)
		if err != nil {
			return none, err
		}
		if b == nil {
			return none, chat.NotFound("batch")
		}
		r := &removing{tx: t, batch: b, out: store.Removal{Ended: map[chat.UserID][]chat.SessionID{}}}
		for {
			did, err := r.step()
			if err != nil {
				return none, err
			}
			if did {
				_, err = t.exec(`UPDATE batches SET stage = ?, reached = ? WHERE id = ?`, int(b.stage), b.reached, b.id)
				return r.out, err
			}
			if b.stage == ending {
				_, err = t.exec(`DELETE FROM batches WHERE id = ?`, b.id)
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
	batch *batchRow
	out   store.Removal
	work  int // done so far
}

// step does some work of the stage, or tells that there is none left.
func (r *removing) step() (did bool, err error) {
	switch r.batch.stage {
	case locking:
		err = r.lock()
	case parting:
		// What was begun is ended first: it can be seen no more.
		if err = r.erase(); err == nil && r.work == 0 {
			err = r.part()
		}
	case looking:
		err = r.look()
	case ending:
		err = r.end()
	}
	return r.work > 0, err
}

// next are accounts of the batch that the stage is not through with.
func (r *removing) next() ([]chat.UserID, error) {
	return idsOf[chat.UserID](r.conn, `SELECT id FROM users WHERE batch = ? AND id > ? ORDER BY id LIMIT +?`,
		r.batch.id, r.batch.reached, store.RemovalWork/2)
}

func (r *removing) lock() error {
	users, err := r.next()
	for _, user := range users {
		sessions, err := idsOf[chat.SessionID](r.conn, `SELECT id FROM sessions WHERE user = ?`, user)
		if err != nil {
			return err
		}
		if len(sessions) > 0 {
			r.out.Ended[user] = sessions
		}
		if _, err := r.exec(`DELETE FROM sessions WHERE user = ?`, user); err != nil {
			return err
		}
		if _, err := r.exec(`UPDATE users SET disabled = 1 WHERE id = ?`, user); err != nil {
			return err
		}
		r.work++
		r.batch.reached = int64(user)
	}
	return err
}

// part takes accounts out of their conversations.
func (r *removing) part() error {
	users, err := r.next()
	for _, user := range users {
		if r.work >= store.RemovalWork {
			return nil
		}
		r.work++
		r.batch.reached = int64(user)
		slots, err := idsOf[int64](r.conn, `SELECT slot FROM members WHERE user = ?`, user)
		if err != nil {
			return err
		}
		for _, slot := range slots {
			if err := r.partFrom(slot, user); err != nil {
				return err
			}
		}
	}
	return err
}

func (r *removing) partFrom(slot int64, user chat.UserID) error {
	r.work++
	known, err := r.conn.one(`SELECT 1 FROM batch_conversations WHERE batch = ? AND slot = ?`, func(row) {}, r.batch.id, slot)
	if err != nil {
		return err
	}
	c, err := r.at(slot)
	if err != nil {
		return err
	}
	if !known {
		others, err := r.conn.one(`SELECT 1 FROM members i INDEXED BY members_by_conversation JOIN users u ON u.id = i.user
			WHERE i.slot = ? AND u.batch IS NOT ? LIMIT 1`, func(row) {}, slot, r.batch.id)
		if err != nil {
			return err
		}
		if !others {
			return r.close(c)
		}
		if !chat.MayLeave(c.Kind) {
			return nil
		}
		if _, err := r.exec(`INSERT INTO batch_conversations (batch, slot, stays, seq) VALUES (?, ?, 1, 0)`, r.batch.id, slot); err != nil {
			return err
		}
	}
	role, err := r.role(c, user)
	if err != nil || role == "" {
		return err
	}
	out, err := storetx.RemoveMember(r.tx, c.ID, user, user)
	r.out.Partings = append(r.out.Partings, store.Parting{User: user, Change: out})
	return err
}

// at finds a conversation by its slot.
func (w *writer) at(slot int64) (*known, error) {
	var id chat.ConversationID
	if _, err := w.conn.one(`SELECT id FROM conversations WHERE slot = ?`, func(r row) { id = chat.ConversationID(r.int(0)) }, slot); err != nil {
		return nil, err
	}
	c, err := w.conversation(id)
	if err == nil {
		err = missing(c, id)
	}
	return c, err
}

// close takes everybody out of a conversation that will be removed, and makes
// it one that nobody can find or join: from here on it is seen by no one.
func (r *removing) close(c *known) error {
	n, err := r.nextChange()
	if err != nil {
		return err
	}
	r.work += c.Members
	r.known.forget(c.ID)
	if _, err := r.exec(`DELETE FROM links WHERE slot = ?`, c.slot); err != nil {
		return err
	}
	if _, err := r.exec(`DELETE FROM members WHERE slot = ?`, c.slot); err != nil {
		return err
	}
	if _, err := r.exec(`UPDATE conversations SET kind = ?, low = NULL, high = NULL, members = 0, rev = rev + 1, members_rev = rev + 1, change = ?
		WHERE slot = ?`, chat.Group, n, c.slot); err != nil {
		return err
	}
	_, err = r.exec(`INSERT INTO batch_conversations (batch, slot, stays, seq) VALUES (?, ?, 0, 0)`, r.batch.id, c.slot)
	return err
}

// walk is a conversation on its way through batch_conversations.
type walk struct{ slot, seq int64 }

func (r *removing) walks(stays, limit int) (out []walk, err error) {
	err = r.conn.query(`SELECT slot, seq FROM batch_conversations WHERE batch = ? AND stays = ? LIMIT +?`, func(row row) error {
		out = append(out, walk{row.int(0), row.int(1)})
		return nil
	}, r.batch.id, stays, limit)
	return out, err
}

// erase removes the messages of closed conversations, and those that have none.
func (r *removing) erase() error {
	closed, err := r.walks(0, store.RemovalWork)
	if err != nil {
		return err
	}
	for _, w := range closed {
		if r.work >= store.RemovalWork {
			return nil
		}
		r.work++
		c, err := r.at(w.slot)
		if err != nil {
			return err
		}
		to := min(c.Seq, w.seq+int64(store.RemovalWork-r.work))
		n, err := r.exec(`DELETE FROM messages WHERE place > ? AND place <= ?`, place(w.slot, w.seq), place(w.slot, to))
		if err != nil {
			return err
		}
		r.work += int(n)
		r.out.Messages += int(n)
		if to < c.Seq {
			_, err := r.exec(`UPDATE batch_conversations SET seq = ? WHERE batch = ? AND slot = ?`, to, r.batch.id, w.slot)
			return err
		}
		if err := r.through(w); err != nil {
			return err
		}
		r.known.forget(c.ID)
		if _, err := r.exec(`DELETE FROM conversations WHERE slot = ?`, w.slot); err != nil {
			return err
		}
		r.out.Conversations++
	}
	return nil
}

func (r *removing) through(w walk) error {
	_, err := r.exec(`DELETE FROM batch_conversations WHERE batch = ? AND slot = ?`, r.batch.id, w.slot)
	return err
}

// look looks for authors in a conversation that stays. Nobody of the batch is
// in it any more, so no message of theirs can come behind.
func (r *removing) look() error {
	stays, err := r.walks(1, 1)
	if err != nil || len(stays) == 0 {
		return err
	}
	r.work++
	w := stays[0]
	c, err := r.at(w.slot)
	if err != nil {
		return err
	}
	to := min(c.Seq, w.seq+lookRatio*store.RemovalWork)
	authors, err := idsOf[chat.UserID](r.conn, `SELECT DISTINCT sender FROM messages WHERE place > ? AND place <= ?`, place(w.slot, w.seq), place(w.slot, to))
	if err != nil {
		return err
	}
	for _, user := range authors {
		if err := r.release(user); err != nil {
			return err
		}
	}
	if to == c.Seq {
		return r.through(w)
	}
	_, err = r.exec(`UPDATE batch_conversations SET seq = ? WHERE batch = ? AND slot = ?`, to, r.batch.id, w.slot)
	return err
}

// release takes an account out of the batch, if it is of it; it stays for ever.
func (r *removing) release(user chat.UserID) error {
	_, err := r.exec(`UPDATE users SET batch = NULL, disabled = 1 WHERE id = ? AND batch = ?`, user, r.batch.id)
	return err
}

// end removes accounts that are in no conversation. One that is (a direct one
// cannot be left) is released.
func (r *removing) end() error {
	users, err := r.next()
	for _, user := range users {
		r.work++
		r.batch.reached = int64(user)
		in, err := r.conn.one(`SELECT 1 FROM members WHERE user = ? AND role <> '' LIMIT 1`, func(row) {}, user)
		if err != nil {
			return err
		}
		if in {
			if err := r.release(user); err != nil {
				return err
			}
			continue
		}
		for _, query := range [...]string{
			`DELETE FROM members WHERE user = ?`, `DELETE FROM sessions WHERE user = ?`, `DELETE FROM users WHERE id = ?`,
		} {
			if _, err := r.exec(query, user); err != nil {
				return err
			}
		}
		r.out.Accounts++
	}
	return err
}
