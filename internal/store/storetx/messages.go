package storetx

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// EditMessage replaces the text of a message.
func (c Commands) EditMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID, body string) (store.Edited, error) {
	return run(ctx, c, "edit a message", func(t Tx) (store.Edited, error) {
		return updateMessage(t, id, seq, by, func(h *chat.Head, m *chat.Message, role chat.Role) (bool, error) {
			return h.Edit(m, by, role, body, t.Now())
		})
	})
}

// DeleteMessage turns a message into a tombstone.
func (c Commands) DeleteMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID) (store.Edited, error) {
	return run(ctx, c, "delete a message", func(t Tx) (store.Edited, error) {
		return updateMessage(t, id, seq, by, func(h *chat.Head, m *chat.Message, role chat.Role) (bool, error) {
			return h.Delete(m, by, role, t.Now())
		})
	})
}

// updateMessage applies a rule to a message, for a user who may see it.
func updateMessage(t Tx, id chat.ConversationID, seq int64, by chat.UserID,
	rule func(*chat.Head, *chat.Message, chat.Role) (bool, error),
) (none store.Edited, err error) {
	c, role, err := lockAsMember(t, id, by)
	if err != nil {
		if chat.CodeOf(err) == chat.CodeNotFound {
			err = chat.NotFound("message")
		}
		return none, err
	}
	head := chat.Head{Seq: c.Seq, Rev: c.Rev}
	var out store.Edited
	if err := t.UpdateMessage(id, seq, func(m *chat.Message) (changed bool, err error) {
		changed, err = rule(&head, m, role)
		out.Message, out.Changed = *m, changed
		return changed, err
	}); err != nil {
		return none, err
	}
	if out.Changed {
		if err := t.SaveHead(id, head); err != nil {
			return none, err
		}
	}
	out.Audience, err = t.Audience(c)
	return out, err
}
