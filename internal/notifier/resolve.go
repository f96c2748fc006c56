package notifier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// deviceNotification is a pending notification for one device.
type deviceNotification struct {
	pending      *pendingNotification
	subscription webpush.Subscription
	notification webpush.Notification

	queuedAt time.Time // when it was added to its device queue
	ackOnce  sync.Once // tells pending that it is done
}

// resolve makes device notifications of the pending notifications that are still
// relevant. Most users have no subscription, so that is checked first.
func (w *worker) resolve(ctx context.Context, batch []*pendingNotification) ([]*deviceNotification, error) {
	subscriptions, err := w.subscriptions(ctx, batch)
	if err != nil {
		return nil, err
	}
	batch = filter(batch, func(n *pendingNotification) bool { return len(subscriptions[n.User]) > 0 })
	if len(batch) == 0 {
		return nil, nil
	}
	keys := make([]store.MemberKey, len(batch))
	for i, n := range batch {
		keys[i] = n.MemberKey
	}
	states, err := w.Store.NotificationStates(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read the notification states of %d members: %w", len(keys), err)
	}
	batch = filter(batch, func(n *pendingNotification) bool {
		state, member := states[n.MemberKey]
		return member && state.Read < n.lastSeq
	})
	if len(batch) == 0 {
		return nil, nil
	}
	batch = w.filterOffline(ctx, batch)
	if len(batch) == 0 {
		return nil, nil
	}
	texts, err := w.previews(ctx, batch)
	if err != nil {
		return nil, err
	}
	batch = filter(batch, func(n *pendingNotification) bool { return texts[n] != "" })
	names, err := w.senderNames(ctx, batch)
	if err != nil {
		return nil, err
	}
	var out []*deviceNotification
	for _, n := range batch {
		state := states[n.MemberKey]
		notification, err := w.newNotification(n, state, names[n.newestJob.Sender], texts[n])
		if err != nil {
			return nil, err
		}
		for _, to := range subscriptions[n.User] {
			out = append(out, &deviceNotification{pending: n, subscription: to, notification: notification})
		}
	}
	return out, nil
}

// filter returns the pending notifications for which ok returns true.
func filter(batch []*pendingNotification, ok func(*pendingNotification) bool) (out []*pendingNotification) {
	for _, n := range batch {
		if ok(n) {
			out = append(out, n)
		}
	}
	return out
}

func (w *worker) subscriptions(ctx context.Context, batch []*pendingNotification) (map[chat.UserID][]webpush.Subscription, error) {
	out := make(map[chat.UserID][]webpush.Subscription, len(batch))
	users := make([]chat.UserID, 0, len(batch))
	for _, n := range batch {
		if _, known := out[n.User]; !known {
			out[n.User] = nil
			users = append(users, n.User)
		}
	}
	all, err := w.Store.Subscriptions(ctx, users)
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions of %d users: %w", len(users), err)
	}
	for _, s := range all {
		out[s.User] = append(out[s.User], webpush.Subscription{Endpoint: s.Endpoint, P256DH: s.P256DH, Auth: s.Auth})
	}
	return out, nil
}

// filterOffline returns the notifications of users who have no device connected. They
// had none when the message was stored; when presence fails, that still counts.
func (w *worker) filterOffline(ctx context.Context, batch []*pendingNotification) []*pendingNotification {
	users := make([]chat.UserID, len(batch))
	for i, n := range batch {
		users[i] = n.User
	}
	nodes, err := w.Locator.NodesOf(ctx, users)
	if err != nil {
		w.log.WarnContext(ctx, "users could not be located; they are notified though they may be online", "users", len(users), "error", err)
		if len(nodes) != len(batch) {
			return batch
		}
	}
	var out []*pendingNotification
	for i, n := range batch {
		if len(nodes[i]) == 0 {
			out = append(out, n)
		}
	}
	return out
}

// previews returns the previews of the newest messages as they are now: a text that
// was edited or deleted within the delay is not shown. A notification of one message
// that is deleted, or that the user may not read, has none.
func (w *worker) previews(ctx context.Context, batch []*pendingNotification) (map[*pendingNotification]string, error) {
	type messageKey struct {
		conversation chat.ConversationID
		seq          int64
	}
	known := map[messageKey]string{}
	out := make(map[*pendingNotification]string, len(batch))
	for _, n := range batch {
		key := messageKey{n.Conversation, n.lastSeq}
		text, ok := known[key]
		if !ok {
			page, err := w.Store.History(ctx, n.Conversation, n.User, n.lastSeq, n.lastSeq, false, 1)
			if chat.CodeOf(err) != "" {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read a message: %w", err)
			}
			text = plainText(n.newestJob.Preview) // the partition of its month is detached
			if len(page.Messages) == 1 {
				text = ""
				if m := &page.Messages[0]; !m.Deleted() {
					text = plainText(m.Body)
				}
			}
			known[key] = text
		}
		if text == "" && n.count > 1 {
			text = "…" // there are others
		}
		out[n] = text
	}
	return out, nil
}

func (w *worker) senderNames(ctx context.Context, batch []*pendingNotification) (map[chat.UserID]string, error) {
	out := make(map[chat.UserID]string, len(batch))
	var ids []chat.UserID
	for _, n := range batch {
		if _, known := out[n.newestJob.Sender]; !known {
			out[n.newestJob.Sender] = ""
			ids = append(ids, n.newestJob.Sender)
		}
	}
	users, err := w.Store.Users(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read the names of %d users: %w", len(ids), err)
	}
	for _, u := range users {
		out[u.ID] = u.DisplayName
	}
	return out, nil
}

// refresh removes the notifications of a queue that are not relevant any more, and
// updates the others. When the store fails, they stay as they are.
func (w *worker) refresh(ctx context.Context, q *deviceQueue, ds []*deviceNotification) {
	batch := make([]*pendingNotification, len(ds))
	for i, d := range ds {
		batch[i] = d.pending
	}
	found, err := w.resolve(ctx, batch)
	if err != nil {
		return
	}
	byPending := make(map[*pendingNotification]*deviceNotification, len(ds))
	for _, d := range found {
		if d.subscription.Endpoint == q.endpoint {
			byPending[d.pending] = d
		}
	}
	for _, d := range ds {
		if current := byPending[d.pending]; current != nil {
			d.subscription, d.notification = current.subscription, current.notification
		} else if w.queues.remove(q, d) {
			w.finish(d)
		}
	}
}
