package fanout_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// membershipBus records the changes of membership that are broadcast.
type membershipBus struct{ memberships []*pubsub.Membership }

func (b *membershipBus) Publish(context.Context, string, *pubsub.Envelope) error { return nil }

func (b *membershipBus) Broadcast(_ context.Context, e *pubsub.Envelope) error {
	for _, i := range e.Items {
		if i.Membership != nil {
			b.memberships = append(b.memberships, i.Membership)
		}
	}
	return nil
}

type nobody struct{ fanout.Directory }

func (nobody) Users(context.Context, []chat.UserID) ([]chat.User, error) { return nil, nil }

// Gateways hear what they need to change the members that they remember: who joined
// and left, of roles, and nothing of names.
func TestMembershipIsAnnounced(t *testing.T) {
	many := make([]chat.UserID, 1001)
	for i := range many {
		many[i] = chat.UserID(i + 1)
	}
	change := func(before, now int64, joined, left []chat.UserID) store.Change {
		return store.Change{
			Conversation: chat.Conversation{ID: 9, MembersRev: now}, Audience: chat.Audience{Conversation: 9, MembersRev: now},
			Changed: true, Joined: joined, Left: left, MembersRevBefore: before,
		}
	}
	for name, test := range map[string]struct {
		change store.Change
		want   []*pubsub.Membership
	}{
		"a join":         {change(4, 6, many[:2], nil), []*pubsub.Membership{{Conversation: 9, MembersRev: 6, MembersRevBefore: 4, Joined: many[:2]}}},
		"a role":         {change(4, 6, nil, nil), []*pubsub.Membership{{Conversation: 9, MembersRev: 6, MembersRevBefore: 4}}},
		"a name":         {change(0, 4, nil, nil), nil},
		"too many":       {change(4, 6, many, nil), []*pubsub.Membership{{Conversation: 9, MembersRev: 6}}},
		"a conversation": {change(0, 1, many[:2], nil), []*pubsub.Membership{{Conversation: 9, MembersRev: 1}}},
	} {
		bus := &membershipBus{}
		fanout.NewAnnouncer(bus, nil, nobody{}, slog.New(slog.DiscardHandler)).ConversationChanged(t.Context(), 1, test.change)
		if diff := cmp.Diff(test.want, bus.memberships); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
