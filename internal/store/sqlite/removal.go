package sqlite

import (
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// NextAccounts returns the next accounts of a batch.
func (t *tx) NextAccounts(b storetx.Batch, limit int) ([]chat.UserID, error) {
	return queryIDs[chat.UserID](t.conn, `SELECT id FROM users WHERE batch = ? AND id > ? ORDER BY id LIMIT +?`, b.ID, b.Reached, limit)
}

// DisableAccounts disables accounts and ends their sessions.
func (t *tx) DisableAccounts(users []chat.UserID) (map[chat.UserID][]chat.SessionID, error) {
	ended := map[chat.UserID][]chat.SessionID{}
	for _, user := range users {
		sessions, err := queryIDs[chat.SessionID](t.conn, `SELECT id FROM sessions WHERE user = ?`, user)
		if err != nil {
			return nil, err
		}
		if len(sessions) > 0 {
			ended[user] = sessions
		}
	}
	return ended, t.forEach(users, `DELETE FROM sessions WHERE user = ?`, `UPDATE users SET disabled = 1 WHERE id = ?`)
}

// forEach runs statements for each of the users.
func (t *tx) forEach(users []chat.UserID, queries ...string) error {
	for _, user := range users {
		for _, query := range queries {
			if _, err := t.exec(query, user); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReleaseAccounts removes accounts from a batch, as far as they are in it.
func (t *tx) ReleaseAccounts(b storetx.Batch, users []chat.UserID) error {
	for _, user := range users {
		if _, err := t.exec(`UPDATE users SET batch = NULL, disabled = 1 WHERE id = ? AND batch = ?`, user, b.ID); err != nil {
			return err
		}
	}
	return nil
}

// InConversations returns those of the accounts that are in a conversation.
func (t *tx) InConversations(users []chat.UserID) (out []chat.UserID, err error) {
	for _, user := range users {
		in, err := t.conn.queryRow(`SELECT 1 FROM members WHERE user = ? AND role <> '' LIMIT 1`, func(row) {}, user)
		if err != nil {
			return nil, err
		}
		if in {
			out = append(out, user)
		}
	}
	return out, nil
}

// DeleteAccounts removes accounts with all their data.
func (t *tx) DeleteAccounts(users []chat.UserID) error {
	return t.forEach(users, `DELETE FROM members WHERE user = ?`, `DELETE FROM sessions WHERE user = ?`,
		`DELETE FROM failures WHERE sender = ?`, `DELETE FROM users WHERE id = ?`)
}

// LockMembershipsOfBatch returns the memberships of the next accounts of a batch.
func (t *tx) LockMembershipsOfBatch(b storetx.Batch, work int) (memberships []chat.Participation, reached chat.UserID, err error) {
	users, err := t.NextAccounts(b, work)
	if err != nil {
		return nil, 0, err
	}
	found := map[int64]*chat.Participation{} // by slot, without the fields of one account
	for did := 0; len(users) > 0 && did < work; users = users[1:] {
		user := users[0]
		slots, err := queryIDs[int64](t.conn, `SELECT slot FROM members WHERE user = ?`, user)
		if err != nil {
			return nil, 0, err
		}
		did += 1 + len(slots)
		for _, slot := range slots {
			p := found[slot]
			if p == nil {
				var members int
				if p, members, err = t.conversationPlace(b, slot); err != nil {
					return nil, 0, err
				}
				if found[slot] = p; p.ClosesConversation() {
					did += members
				}
			}
			at := *p
			at.User = user
			if at.Role, err = t.Role(at.Conversation, user); err != nil {
				return nil, 0, err
			}
			memberships = append(memberships, at)
		}
		reached = user
	}
	return memberships, reached, nil
}

// conversationPlace returns what the memberships of a conversation have in
// common, and how many members it has.
func (t *tx) conversationPlace(b storetx.Batch, slot int64) (*chat.Participation, int, error) {
	c, err := t.conversationBySlot(slot)
	if err != nil {
		return nil, 0, err
	}
	others, err := t.conn.queryRow(`SELECT 1 FROM batch_conversations WHERE batch = ? AND slot = ?`, func(row) {}, b.ID, slot)
	if err == nil && !others {
		others, err = t.conn.queryRow(`SELECT 1 FROM members i INDEXED BY members_by_conversation JOIN users u ON u.id = i.user
			WHERE i.slot = ? AND u.batch IS NOT ? LIMIT 1`, func(row) {}, slot, b.ID)
	}
	return &chat.Participation{Conversation: c.ID, Kind: c.Kind, Others: others}, c.Members, err
}

// conversationBySlot returns a conversation by its slot.
func (w *writer) conversationBySlot(slot int64) (*cachedConversation, error) {
	var id chat.ConversationID
	if _, err := w.conn.queryRow(`SELECT id FROM conversations WHERE slot = ?`, func(r row) { id = chat.ConversationID(r.int(0)) }, slot); err != nil {
		return nil, err
	}
	c, err := w.conversation(id)
	if err == nil {
		err = missingConversation(c, id)
	}
	return c, err
}

// RecordKeptConversations records conversations that remain.
func (t *tx) RecordKeptConversations(b storetx.Batch, ids []chat.ConversationID) error {
	for _, id := range ids {
		c, err := t.requireConversation(id)
		if err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO batch_conversations (batch, slot, stays, seq) VALUES (?, ?, 1, 0) ON CONFLICT DO NOTHING`, b.ID, c.slot); err != nil {
			return err
		}
	}
	return nil
}

// CloseConversations removes all members from conversations that will be removed.
func (t *tx) CloseConversations(b storetx.Batch, ids []chat.ConversationID) error {
	for _, id := range ids {
		c, err := t.requireConversation(id)
		if err != nil {
			return err
		}
		n, err := t.nextChange()
		if err != nil {
			return err
		}
		t.cache.remove(id)
		if _, err := t.exec(`DELETE FROM links WHERE slot = ?`, c.slot); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM members WHERE slot = ?`, c.slot); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE conversations SET kind = ?, low = NULL, high = NULL, members = 0, rev = rev + 1, members_rev = rev + 1, change = ?
			WHERE slot = ?`, chat.Group, n, c.slot); err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO batch_conversations (batch, slot, stays, seq) VALUES (?, ?, 0, 0)`, b.ID, c.slot); err != nil {
			return err
		}
	}
	return nil
}

// batchConversations returns conversations that are removed, or that remain.
func (t *tx) batchConversations(b storetx.Batch, stays, limit int) (out []chat.MessageWalk, err error) {
	err = t.conn.query(`SELECT c.id, b.seq, c.seq FROM batch_conversations b JOIN conversations c ON c.slot = b.slot
		WHERE b.batch = ? AND b.stays = ? ORDER BY b.slot LIMIT +?`, func(r row) error {
		out = append(out, chat.MessageWalk{Conversation: chat.ConversationID(r.int(0)), Seen: r.int(1), Last: r.int(2)})
		return nil
	}, b.ID, stays, limit)
	return out, err
}

// LockClosedConversations returns those that were closed.
func (t *tx) LockClosedConversations(b storetx.Batch, limit int) ([]chat.MessageWalk, error) {
	return t.batchConversations(b, 0, limit)
}

// NextKeptConversation returns one of those that remain.
func (t *tx) NextKeptConversation(b storetx.Batch) (w chat.MessageWalk, found bool, err error) {
	list, err := t.batchConversations(b, 1, 1)
	if err != nil || len(list) == 0 {
		return w, false, err
	}
	return list[0], true, nil
}

// EraseMessages removes messages.
func (t *tx) EraseMessages(parts []chat.MessageRange) (int, error) {
	var sum int64
	for _, p := range parts {
		c, err := t.requireConversation(p.Conversation)
		if err != nil {
			return 0, err
		}
		n, err := t.exec(`DELETE FROM messages WHERE place > ? AND place <= ?`, messageKey(c.slot, p.After), messageKey(c.slot, p.To))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return int(sum), nil
}

// DeleteConversations removes conversations that have no messages.
func (t *tx) DeleteConversations(ids []chat.ConversationID) error {
	for _, id := range ids {
		c, err := t.requireConversation(id)
		if err != nil {
			return err
		}
		t.cache.remove(id)
		for _, query := range [...]string{`DELETE FROM batch_conversations WHERE slot = ?`, `DELETE FROM conversations WHERE slot = ?`} {
			if _, err := t.exec(query, c.slot); err != nil {
				return err
			}
		}
	}
	return nil
}

// Authors returns who wrote in a range.
func (t *tx) Authors(p chat.MessageRange) ([]chat.UserID, error) {
	c, err := t.requireConversation(p.Conversation)
	if err != nil {
		return nil, err
	}
	return queryIDs[chat.UserID](t.conn, `SELECT DISTINCT sender FROM messages WHERE place > ? AND place <= ?`, messageKey(c.slot, p.After), messageKey(c.slot, p.To))
}

// SaveProgress records how far a walk has come, or that it has ended.
func (t *tx) SaveProgress(b storetx.Batch, p chat.MessageRange) error {
	c, err := t.requireConversation(p.Conversation)
	if err != nil {
		return err
	}
	if p.Last {
		_, err = t.exec(`DELETE FROM batch_conversations WHERE batch = ? AND slot = ?`, b.ID, c.slot)
		return err
	}
	_, err = t.exec(`UPDATE batch_conversations SET seq = ? WHERE batch = ? AND slot = ?`, p.To, b.ID, c.slot)
	return err
}
