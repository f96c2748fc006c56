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

// parcel is a note for one device.
type parcel struct {
	note *note
	to   webpush.Subscription
	what webpush.Notification

	since    time.Time // when it came into its line
	released sync.Once // says to its note that it is done
}

// look finds out for whom notes are still news, and makes parcels of those.
// Most people have no subscription, so that is asked first.
func (r *run) look(ctx context.Context, batch []*note) ([]*parcel, error) {
	subscriptions, err := r.subscriptions(ctx, batch)
	if err != nil {
		return nil, err
	}
	batch = where(batch, func(n *note) bool { return len(subscriptions[n.User]) > 0 })
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
	batch = where(batch, func(n *note) bool {
		at, member := standings[n.MemberKey]
		return member && at.Read < n.last
	})
	if len(batch) == 0 {
		return nil, nil
	}
	batch = r.away(ctx, batch)
	if len(batch) == 0 {
		return nil, nil
	}
	texts, err := r.texts(ctx, batch)
	if err != nil {
		return nil, err
	}
	batch = where(batch, func(n *note) bool { return texts[n] != "" })
	names, err := r.names(ctx, batch)
	if err != nil {
		return nil, err
	}
	var out []*parcel
	for _, n := range batch {
		at := standings[n.MemberKey]
		what, err := r.notification(n, at, names[n.newest.Sender], texts[n])
		if err != nil {
			return nil, err
		}
		for _, to := range subscriptions[n.User] {
			out = append(out, &parcel{note: n, to: to, what: what})
		}
	}
	return out, nil
}

// where are the notes for which ok says so.
func where(batch []*note, ok func(*note) bool) (out []*note) {
	for _, n := range batch {
		if ok(n) {
			out = append(out, n)
		}
	}
	return out
}

func (r *run) subscriptions(ctx context.Context, batch []*note) (map[chat.UserID][]webpush.Subscription, error) {
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

// away are the notes of people who have no device now. They had none when the
// message was stored; when presence cannot be asked, that counts.
func (r *run) away(ctx context.Context, batch []*note) []*note {
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
	var out []*note
	for i, n := range batch {
		if len(nodes[i]) == 0 {
			out = append(out, n)
		}
	}
	return out
}

// texts are the previews of the notes' newest messages as they are now: a text
// that was changed or deleted within the delay is not shown. A note of a single
// message that is gone, or that its user may not see, has none.
func (r *run) texts(ctx context.Context, batch []*note) (map[*note]string, error) {
	type place struct {
		conversation chat.ConversationID
		seq          int64
	}
	known := map[place]string{}
	out := make(map[*note]string, len(batch))
	for _, n := range batch {
		at := place{n.Conversation, n.last}
		text, ok := known[at]
		if !ok {
			messages, err := r.Store.History(ctx, n.Conversation, n.User, n.last, n.last, false, 1)
			if chat.CodeOf(err) != "" {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read a message: %w", err)
			}
			text = n.newest.Preview // of a month that is detached
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

func (r *run) names(ctx context.Context, batch []*note) (map[chat.UserID]string, error) {
	out := make(map[chat.UserID]string, len(batch))
	var ids []chat.UserID
	for _, n := range batch {
		if _, known := out[n.newest.Sender]; !known {
			out[n.newest.Sender] = ""
			ids = append(ids, n.newest.Sender)
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

// again looks which of a line's parcels are still to be sent, and what they say
// by now. When that cannot be asked, what was known counts.
func (r *run) again(ctx context.Context, l *line, parcels []*parcel) {
	batch := make([]*note, len(parcels))
	for i, p := range parcels {
		batch[i] = p.note
	}
	found, err := r.look(ctx, batch)
	if err != nil {
		return
	}
	now := make(map[*note]*parcel, len(parcels))
	for _, p := range found {
		if p.to.Endpoint == l.endpoint {
			now[p.note] = p
		}
	}
	for _, p := range parcels {
		if is := now[p.note]; is != nil {
			p.to, p.what = is.to, is.what
		} else if r.lines.remove(l, p) {
			r.end(p)
		}
	}
}
