package notifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

func TestWhoIsNotified(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben, eve, zoe := f.createUser("Aki 飛脚"), f.createUser("Ben"), f.createUser("Eve"), f.createUser("Zoe")
		stranger := f.createUser("Stranger")
		sender, phone, laptop, online := f.subscribe(aki), f.subscribe(ben), f.subscribe(ben), f.subscribe(eve)
		elsewhere := f.subscribe(stranger)
		f.attach(eve) // zoe is offline and has no device that subscribed
		direct := f.createConversation(chat.Direct, "", aki, ben)
		group := f.createConversation(chat.Group, "Lunch <&> more", aki, ben, eve, zoe)
		channel := f.createConversation(chat.Channel, "general", aki, ben, eve)
		p := f.startNotifier(notifier.Config{})
		p.releaseTimers()
		topics := map[string]bool{}
		for i, tt := range []struct {
			in      chat.ConversationID
			title   string
			urgency string
		}{
			{direct, "Aki 飛脚", "high"},
			{group, "Aki 飛脚 in Lunch <&> more", "normal"},
			{channel, "Aki 飛脚 in #general", "normal"},
		} {
			f.sendMessage(tt.in, aki, "line \"one\"\n<b>two</b>")
			p.waitAcked(i + 1)
			want := notificationContent{Title: tt.title, Body: `line "one" <b>two</b>`, Conversation: tt.in.String()}
			for _, d := range []*webpushtest.Device{phone, laptop} {
				all := d.Wait(f.T, i+1)
				var got notificationContent
				if err := json.Unmarshal(all[i].Payload, &got); err != nil || got != want {
					f.Errorf("got %s (%v), want %+v", all[i].Payload, err, want)
				}
				if all[i].Urgency != tt.urgency {
					f.Errorf("urgency %s", all[i].Urgency)
				}
				topics[all[i].Topic] = true
			}
		}
		if len(topics) != 3 {
			f.Errorf("topics %v", topics)
		}
		f.assertNoPushes("sender, online, not a member", sender, online, elsewhere)
	})
}

func TestIrrelevantNotificationsAreDropped(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(f *fixture, p user, m chat.Message) error{
		"read": func(f *fixture, p user, m chat.Message) error {
			_, _, err := f.store.Mark(f.Context(), m.Conversation, p.id, m.Seq, 0)
			return err
		},
		"came online": func(f *fixture, p user, _ chat.Message) error {
			f.attach(p)
			return nil
		},
		"left": func(f *fixture, p user, m chat.Message) error {
			_, err := f.store.RemoveMember(f.Context(), m.Conversation, p.id, p.id)
			return err
		},
		"logged out": func(f *fixture, p user, _ chat.Message) error {
			_, err := f.store.DeleteSessions(f.Context(), p.id, []chat.SessionID{p.session}, 0)
			return err
		},
		"disabled": func(f *fixture, p user, _ chat.Message) error {
			yes := true
			_, err := f.store.UpdateUser(f.Context(), p.id, store.UserChange{Disabled: &yes})
			return err
		},
		"unsubscribed": func(f *fixture, p user, _ chat.Message) error {
			all, err := f.store.Subscriptions(f.Context(), []chat.UserID{p.id})
			f.must(err)
			return f.store.DeleteSubscription(f.Context(), p.id, all[0].Endpoint)
		},
		"deleted": func(f *fixture, _ user, m chat.Message) error {
			_, err := f.store.DeleteMessage(f.Context(), m.Conversation, m.Seq, m.Sender)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachBackend(t, func(f *fixture) {
				aki, ben, eve := f.createUser("Aki"), f.createUser("Ben"), f.createUser("Eve")
				bens, eves := f.subscribe(ben), f.subscribe(eve)
				group := f.createConversation(chat.Group, "Lunch", aki, ben, eve)
				p := f.startNotifier(notifier.Config{})
				m := f.sendMessage(group, aki, "are you there?")
				p.waitTaken(1)
				f.must(meanwhile(f, ben, m))
				p.releaseTimers()
				p.waitAcked(1)
				f.assertNoPushes(name, bens)
				if name != "deleted" {
					f.assertNotification(eves, notificationContent{"Aki in Lunch", "are you there?", group.String()}, "normal")
				} else {
					f.assertNoPushes(name, eves)
				}
			})
		})
	}
}

// brokenPresence is a presence that fails.
type brokenPresence struct{ presence.Presence }

func (brokenPresence) NodesOf(context.Context, []chat.UserID) ([][]string, error) {
	return nil, errors.New("unavailable")
}

func TestWithoutPresenceUsersAreNotified(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser("Aki"), f.createUser("Ben")
		device := f.subscribe(ben)
		direct := f.createConversation(chat.Direct, "", aki, ben)
		p := f.startNotifier(notifier.Config{Locator: brokenPresence{}})
		p.releaseTimers()
		f.sendMessage(direct, aki, "hello")
		f.assertNotification(device, notificationContent{"Aki", "hello", direct.String()}, "high")
		p.waitAcked(1)
	})
}
