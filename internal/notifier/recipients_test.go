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
	eachBackend(t, func(w *fixture) {
		aki, ben, eve, zoe := w.createUser("Aki 飛脚"), w.createUser("Ben"), w.createUser("Eve"), w.createUser("Zoe")
		stranger := w.createUser("Stranger")
		sender, phone, laptop, online := w.subscribe(aki), w.subscribe(ben), w.subscribe(ben), w.subscribe(eve)
		elsewhere := w.subscribe(stranger)
		w.attach(eve) // zoe is away and has no device that subscribed
		direct := w.createConversation(chat.Direct, "", aki, ben)
		group := w.createConversation(chat.Group, "Lunch <&> more", aki, ben, eve, zoe)
		channel := w.createConversation(chat.Channel, "general", aki, ben, eve)
		p := w.startNotifier(notifier.Config{})
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
			w.sendMessage(tt.in, aki, "line \"one\"\n<b>two</b>")
			p.waitAcked(i + 1)
			want := notificationContent{Title: tt.title, Body: `line "one" <b>two</b>`, Conversation: tt.in.String()}
			for _, d := range []*webpushtest.Device{phone, laptop} {
				all := d.Wait(w.T, i+1)
				var got notificationContent
				if err := json.Unmarshal(all[i].Payload, &got); err != nil || got != want {
					w.Errorf("got %s (%v), want %+v", all[i].Payload, err, want)
				}
				if all[i].Urgency != tt.urgency {
					w.Errorf("urgency %s", all[i].Urgency)
				}
				topics[all[i].Topic] = true
			}
		}
		if len(topics) != 3 {
			w.Errorf("topics %v", topics)
		}
		w.assertNoPushes("sender, online, not a member", sender, online, elsewhere)
	})
}

func TestNoNews(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(w *fixture, p user, m chat.Message) error{
		"read": func(w *fixture, p user, m chat.Message) error {
			_, _, err := w.store.Mark(w.Context(), m.Conversation, p.id, m.Seq, 0)
			return err
		},
		"came online": func(w *fixture, p user, _ chat.Message) error {
			w.attach(p)
			return nil
		},
		"left": func(w *fixture, p user, m chat.Message) error {
			_, err := w.store.RemoveMember(w.Context(), m.Conversation, p.id, p.id)
			return err
		},
		"logged out": func(w *fixture, p user, _ chat.Message) error {
			_, err := w.store.DeleteSessions(w.Context(), p.id, []chat.SessionID{p.session}, 0)
			return err
		},
		"disabled": func(w *fixture, p user, _ chat.Message) error {
			yes := true
			_, err := w.store.UpdateUser(w.Context(), p.id, store.UserChange{Disabled: &yes})
			return err
		},
		"unsubscribed": func(w *fixture, p user, _ chat.Message) error {
			all, err := w.store.Subscriptions(w.Context(), []chat.UserID{p.id})
			w.must(err)
			return w.store.DeleteSubscription(w.Context(), p.id, all[0].Endpoint)
		},
		"deleted": func(w *fixture, _ user, m chat.Message) error {
			_, err := w.store.DeleteMessage(w.Context(), m.Conversation, m.Seq, m.Sender)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachBackend(t, func(w *fixture) {
				aki, ben, eve := w.createUser("Aki"), w.createUser("Ben"), w.createUser("Eve")
				bens, eves := w.subscribe(ben), w.subscribe(eve)
				group := w.createConversation(chat.Group, "Lunch", aki, ben, eve)
				p := w.startNotifier(notifier.Config{})
				m := w.sendMessage(group, aki, "are you there?")
				p.waitTaken(1)
				w.must(meanwhile(w, ben, m))
				p.releaseTimers()
				p.waitAcked(1)
				w.assertNoPushes(name, bens)
				if name != "deleted" {
					w.assertNotification(eves, notificationContent{"Aki in Lunch", "are you there?", group.String()}, "normal")
				} else {
					w.assertNoPushes(name, eves)
				}
			})
		})
	}
}

// brokenPresence is a presence that does not answer.
type brokenPresence struct{ presence.Presence }

func (brokenPresence) NodesOf(context.Context, []chat.UserID) ([][]string, error) {
	return nil, errors.New("away")
}

func TestWithoutPresencePeopleAreNotified(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser("Aki"), w.createUser("Ben")
		device := w.subscribe(ben)
		direct := w.createConversation(chat.Direct, "", aki, ben)
		p := w.startNotifier(notifier.Config{Locator: brokenPresence{}})
		p.releaseTimers()
		w.sendMessage(direct, aki, "hello")
		w.assertNotification(device, notificationContent{"Aki", "hello", direct.String()}, "high")
		p.waitAcked(1)
	})
}
