package sqlite

import (
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// AccountsOf are the next accounts of a batch.
func (t *tx) AccountsOf(b storetx.Batch, limit int) ([]chat.UserID, error) {
	return idsOf[chat.UserID](t.conn, `SELECT id FROM users WHERE batch = ? AND id > ? ORDER BY id LIMIT +?`, b.ID, b.Reached, limit)
}

// DisableAccounts disables accounts and ends their sessions.
func (t *tx) DisableAccounts(users []chat.UserID) (map[chat.UserID][]chat.SessionID, error) {
	ended := map[chat.UserID][]chat.SessionID{}
	for _, user := range users {
		sessions, err := idsOf[chat.SessionID](t.conn, `SELECT id FROM sessions WHERE user = ?`, user)
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

// ReleaseAccounts takes accounts out of a batch, where they are of it.
func (t *tx) ReleaseAccounts(b storetx.Batch, users []chat.UserID) error {
	for _, user := range users {
		if _, err := t.exec(`UPDATE users SET batch = NULL, disabled = 1 WHERE id = ? AND batch = ?`, user, b.ID); err != nil {
			return err
		}
	}
	return nil
}

// InConversations are those of the accounts that are in some conversation.
func (t *tx) InConversations(users []chat.UserID) (out []chat.UserID, err error) {
	for _, user := range users {
		in, err := t.conn.one(`SELECT 1 FROM members WHERE user = ? AND role <> '' LIMIT 1`, func(row) {}, user)
		if err != nil {
			return nil, err
		}
		if in {
			out = append(out, user)
		}
	}
	return out, nil
}

// DeleteAccounts removes accounts with all that is theirs.
func (t *tx) DeleteAccounts(users []chat.UserID) error {
	return t.forEach(users, `DELETE FROM members WHERE user = ?`, `DELETE FROM sessions WHERE user = ?`, `DELETE FROM users WHERE id = ?`)
}

// LockPlaces are the places of the next accounts of a batch.
func (t *tx) LockPlaces(b storetx.Batch, work int) (places []chat.Participation, reached chat.UserID, err error) {
	users, err := t.AccountsOf(b, work)
	if err != nil {
		return nil, 0, err
	}
	found := map[int64]*chat.Participation{} // by slot, less what is the account's own
	for did := 0; len(users) > 0 && did < work; users = users[1:] {
		user := users[0]
		slots, err := idsOf[int64](t.conn, `SELECT slot FROM members WHERE user = ?`, user)
		if err != nil {
			return nil, 0, err
		}
		did += 1 + len(slots)
		for _, slot := range slots {
			p := found[slot]
			if p == nil {
				var members int
				if p, members, err = t.placeIn(b, slot); err != nil {
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
			places = append(places, at)
		}
		reached = user
	}
	return places, reached, nil
}

// placeIn is what the places in a conversation have in common, and how many
// members it has.
func (t *tx) placeIn(b storetx.Batch, slot int64) (*chat.Participation, int, error) {
	c, err := t.at(slot)
	if err != nil {
		return nil, 0, err
	}
	others, err := t.conn.one(`SELECT 1 FROM batch_conversations WHERE batch = ? AND slot = ?`, func(row) {}, b.ID, slot)
	if err == nil && !others {
		others, err = t.conn.one(`SELECT 1 FROM members i INDEXED BY members_by_conversation JOIN users u ON u.id = i.user
			WHERE i.slot = ? AND u.batch IS NOT ? LIMIT 1`, func(row) {}, slot, b.ID)
	}
	return &chat.Participation{Conversation: c.ID, Kind: c.Kind, Others: others}, c.Members, err
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

// KeepConversations notes conversations that stay.
func (t *tx) KeepConversations(b storetx.Batch, ids []chat.ConversationID) error {
	for _, id := range ids {
		c, err := t.locked(id)
		if err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO batch_conversations (batch, slot, stays, seq) VALUES (?, ?, 1, 0) ON CONFLICT DO NOTHING`, b.ID, c.slot); err != nil {
			return err
		}
	}
	return nil
}

// CloseConversations takes everybody out of conversations that will be removed.
func (t *tx) CloseConversations(b storetx.Batch, ids []chat.ConversationID) error {
	for _, id := range ids {
		c, err := t.locked(id)
		if err != nil {
			return err
		}
		n, err := t.nextChange()
		if err != nil {
			return err
		}
		t.known.forget(id)
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

// walks are conversations that are removed, or that stay.
func (t *tx) walks(b storetx.Batch, stays, limit int) (out []chat.MessageWalk, err error) {
	err = t.conn.query(`SELECT c.id, b.seq, c.seq FROM batch_conversations b JOIN conversations c ON c.slot = b.slot
		WHERE b.batch = ? AND b.stays = ? ORDER BY b.slot LIMIT +?`, func(r row) error {
		out = append(out, chat.MessageWalk{Conversation: chat.ConversationID(r.int(0)), Seen: r.int(1), Last: r.int(2)})
		return nil
	}, b.ID, stays, limit)
	return out, err
}

// ClosedConversations are those that were closed.
func (t *tx) ClosedConversations(b storetx.Batch, limit int) ([]chat.MessageWalk, error) {
	return t.walks(b, 0, limit)
}

// KeptConversation is one of those that stay.
func (t *tx) KeptConversation(b storetx.Batch) (w chat.MessageWalk, found bool, err error) {
	list, err := t.walks(b, 1, 1)
	if err != nil || len(list) == 0 {
		return w, false, err
	}
	return list[0], true, nil
}

// EraseMessages removes messages.
func (t *tx) EraseMessages(parts []chat.MessageRange) (int, error) {
	var sum int64
	for _, p := range parts {
		c, err := t.locked(p.Conversation)
		if err != nil {
			return 0, err
		}
		n, err := t.exec(`DELETE FROM messages WHERE place > ? AND place <= ?`, place(c.slot, p.After), place(c.slot, p.To))
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
		c, err := t.locked(id)
		if err != nil {
			return err
		}
		t.known.forget(id)
		for _, query := range [...]string{`DELETE FROM batch_conversations WHERE slot = ?`, `DELETE FROM conversations WHERE slot = ?`} {
			if _, err := t.exec(query, c.slot); err != nil {
				return err
			}
		}
	}
	return nil
}

// Authors are who wrote in a range.
func (t *tx) Authors(p chat.MessageRange) ([]chat.UserID, error) {
	c, err := t.locked(p.Conversation)
	if err != nil {
		return nil, err
	}
	return idsOf[chat.UserID](t.conn, `SELECT DISTINCT sender FROM messages WHERE place > ? AND place <= ?`, place(c.slot, p.After), place(c.slot, p.To))
}

// SaveWalk notes how far a walk has come, or that it has ended.
func (t *tx) SaveWalk(b storetx.Batch, p chat.MessageRange) error {
	c, err := t.locked(p.Conversation)
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
