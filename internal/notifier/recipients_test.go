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
	everywhere(t, func(w *world) {
		aki, ben, eve, zoe := w.person("Aki 飛脚"), w.person("Ben"), w.person("Eve"), w.person("Zoe")
		stranger := w.person("Stranger")
		sender, phone, laptop, online := w.subscribe(aki), w.subscribe(ben), w.subscribe(ben), w.subscribe(eve)
		elsewhere := w.subscribe(stranger)
		w.attach(eve) // zoe is away and has no device that subscribed
		direct := w.converse(chat.Direct, "", aki, ben)
		group := w.converse(chat.Group, "Lunch <&> more", aki, ben, eve, zoe)
		channel := w.converse(chat.Channel, "general", aki, ben, eve)
		p := w.start(notifier.Config{})
		p.open()
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
			w.say(tt.in, aki, "line \"one\"\n<b>two</b>")
			p.finished(i + 1)
			want := shown{Title: tt.title, Body: `line "one" <b>two</b>`, Conversation: tt.in.String()}
			for _, d := range []*webpushtest.Device{phone, laptop} {
				all := d.Wait(w.T, i+1)
				var got shown
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
		w.silent("sender, online, not a member", sender, online, elsewhere)
	})
}

func TestNoNews(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(w *world, p person, m chat.Message) error{
		"read": func(w *world, p person, m chat.Message) error {
			_, _, err := w.store.Mark(w.Context(), m.Conversation, p.id, m.Seq, 0)
			return err
		},
		"came online": func(w *world, p person, _ chat.Message) error {
			w.attach(p)
			return nil
		},
		"left": func(w *world, p person, m chat.Message) error {
			_, err := w.store.RemoveMember(w.Context(), m.Conversation, p.id, p.id)
			return err
		},
		"logged out": func(w *world, p person, _ chat.Message) error {
			_, err := w.store.DeleteSessions(w.Context(), p.id, []chat.SessionID{p.session}, 0)
			return err
		},
		"disabled": func(w *world, p person, _ chat.Message) error {
			yes := true
			_, err := w.store.UpdateUser(w.Context(), p.id, store.UserChange{Disabled: &yes})
			return err
		},
		"unsubscribed": func(w *world, p person, _ chat.Message) error {
			all, err := w.store.Subscriptions(w.Context(), []chat.UserID{p.id})
			w.ok(err)
			return w.store.DeleteSubscription(w.Context(), p.id, all[0].Endpoint)
		},
		"deleted": func(w *world, _ person, m chat.Message) error {
			_, err := w.store.DeleteMessage(w.Context(), m.Conversation, m.Seq, m.Sender)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(w *world) {
				aki, ben, eve := w.person("Aki"), w.person("Ben"), w.person("Eve")
				bens, eves := w.subscribe(ben), w.subscribe(eve)
				group := w.converse(chat.Group, "Lunch", aki, ben, eve)
				p := w.start(notifier.Config{})
				m := w.say(group, aki, "are you there?")
				p.has(1)
				w.ok(meanwhile(w, ben, m))
				p.open()
				p.finished(1)
				w.silent(name, bens)
				if name != "deleted" {
					w.shows(eves, shown{"Aki in Lunch", "are you there?", group.String()}, "normal")
				} else {
					w.silent(name, eves)
				}
			})
		})
	}
}

// broken is a presence that does not answer.
type broken struct{ presence.Presence }

func (broken) NodesOf(context.Context, []chat.UserID) ([][]string, error) {
	return nil, errors.New("away")
}

func TestWithoutPresencePeopleAreNotified(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki, ben := w.person("Aki"), w.person("Ben")
		device := w.subscribe(ben)
		direct := w.converse(chat.Direct, "", aki, ben)
		p := w.start(notifier.Config{Locator: broken{}})
		p.open()
		w.say(direct, aki, "hello")
		w.shows(device, shown{"Aki", "hello", direct.String()}, "high")
		p.finished(1)
	})
}
