package notifier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// deviceNotification is a note for one device.
type deviceNotification struct {
	pending *pendingNotification
	subscription   webpush.Subscription
	notification webpush.Notification

	queuedAt    time.Time // when it came into its line
	ackOnce sync.Once // says to its note that it is done
}

// resolve finds out for whom notes are still news, and makes parcels of those.
// Most people have no subscription, so that is asked first.
func (r *worker) resolve(ctx context.Context, batch []*pendingNotification) ([]*deviceNotification, error) {
	subscriptions, err := r.subscriptions(ctx, batch)
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
	standings, err := r.Store.NotificationStates(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read where %d members stand: %w", len(keys), err)
	}
	batch = filter(batch, func(n *pendingNotification) bool {
		at, member := standings[n.MemberKey]
		return member && at.Read < n.lastSeq
	})
	if len(batch) == 0 {
		return nil, nil
	}
	batch = r.filterOffline(ctx, batch)
	if len(batch) == 0 {
		return nil, nil
	}
	texts, err := r.previews(ctx, batch)
	if err != nil {
		return nil, err
	}
	batch = filter(batch, func(n *pendingNotification) bool { return texts[n] != "" })
	names, err := r.senderNames(ctx, batch)
	if err != nil {
		return nil, err
	}
	var out []*deviceNotification
	for _, n := range batch {
		at := standings[n.MemberKey]
		what, err := r.newNotification(n, at, names[n.newestJob.Sender], texts[n])
		if err != nil {
			return nil, err
		}
		for _, to := range subscriptions[n.User] {
			out = append(out, &deviceNotification{pending: n, subscription: to, notification: what})
		}
	}
	return out, nil
}

// filter are the notes for which ok says so.
func filter(batch []*pendingNotification, ok func(*pendingNotification) bool) (out []*pendingNotification) {
	for _, n := range batch {
		if ok(n) {
			out = append(out, n)
		}
	}
	return out
}

func (r *worker) subscriptions(ctx context.Context, batch []*pendingNotification) (map[chat.UserID][]webpush.Subscription, error) {
	out := make(map[chat.UserID][]webpush.Subscription, len(batch))
	users := make([]chat.UserID, 0, len(batch))
	for _, n := range batch {
		if _, known := out[n.User]; !known {
			out[n.User] = nil
			users = append(users, n.User)
		}
	}
	all, err := r.Store.Subscriptions(ctx, users)
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions of %d people: %w", len(users), err)
	}
	for _, s := range all {
		out[s.User] = append(out[s.User], webpush.Subscription{Endpoint: s.Endpoint, P256DH: s.P256DH, Auth: s.Auth})
	}
	return out, nil
}

// filterOffline are the notes of people who have no device now. They had none when the
// message was stored; when presence cannot be asked, that counts.
func (r *worker) filterOffline(ctx context.Context, batch []*pendingNotification) []*pendingNotification {
	users := make([]chat.UserID, len(batch))
	for i, n := range batch {
		users[i] = n.User
	}
	nodes, err := r.Locator.NodesOf(ctx, users)
	if err != nil {
		r.log.WarnContext(ctx, "people could not be located; they are notified though they may be here", "people", len(users), "error", err)
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

// previews are the previews of the notes' newest messages as they are now: a text
// that was changed or deleted within the delay is not shown. A note of a single
// message that is gone, or that its user may not see, has none.
func (r *worker) previews(ctx context.Context, batch []*pendingNotification) (map[*pendingNotification]string, error) {
	type place struct {
		conversation chat.ConversationID
		seq          int64
	}
	known := map[place]string{}
	out := make(map[*pendingNotification]string, len(batch))
	for _, n := range batch {
		at := place{n.Conversation, n.lastSeq}
		text, ok := known[at]
		if !ok {
			messages, err := r.Store.History(ctx, n.Conversation, n.User, n.lastSeq, n.lastSeq, false, 1)
			if chat.CodeOf(err) != "" {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read a message: %w", err)
			}
			text = n.newestJob.Preview // of a month that is detached
			if len(messages) == 1 {
				text = ""
				if m := &messages[0]; !m.Deleted() {
					text = notifyqueue.Preview(m.Body)
				}
			}
			known[at] = text
		}
		if text == "" && n.count > 1 {
			text = "…" // there are others
		}
		out[n] = text
	}
	return out, nil
}

func (r *worker) senderNames(ctx context.Context, batch []*pendingNotification) (map[chat.UserID]string, error) {
	out := make(map[chat.UserID]string, len(batch))
	var ids []chat.UserID
	for _, n := range batch {
		if _, known := out[n.newestJob.Sender]; !known {
			out[n.newestJob.Sender] = ""
			ids = append(ids, n.newestJob.Sender)
		}
	}
	users, err := r.Store.Users(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read the names of %d people: %w", len(ids), err)
	}
	for _, u := range users {
		out[u.ID] = u.DisplayName
	}
	return out, nil
}

// refresh looks which of a line's parcels are still to be sent, and what they say
// by now. When that cannot be asked, what was known counts.
func (r *worker) refresh(ctx context.Context, l *deviceQueue, parcels []*deviceNotification) {
	batch := make([]*pendingNotification, len(parcels))
	for i, p := range parcels {
		batch[i] = p.pending
	}
	found, err := r.resolve(ctx, batch)
	if err != nil {
		return
	}
	now := make(map[*pendingNotification]*deviceNotification, len(parcels))
	for _, p := range found {
		if p.subscription.Endpoint == l.endpoint {
			now[p.pending] = p
		}
	}
	for _, p := range parcels {
		if is := now[p.pending]; is != nil {
			p.subscription, p.notification = is.subscription, is.notification
		} else if r.queues.remove(l, p) {
			r.finish(p)
		}
	}
}
