package notifier_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

type notificationContent struct {
	Title        string `json:"title"`
	Body         string `json:"body"`
	Conversation string `json:"conversation"`
}

// assertNotification waits for one notification, compares it, and returns it.
func (f *fixture) assertNotification(d *webpushtest.Device, want notificationContent, urgency string) webpushtest.Message {
	f.Helper()
	all := d.Wait(f.T, 1)
	last := all[len(all)-1]
	var got notificationContent
	decoder := json.NewDecoder(strings.NewReader(string(last.Payload)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil || got != want {
		f.Errorf("got %s (%v), want %+v", last.Payload, err, want)
	}
	if len(all) != 1 || last.TTL != 24*time.Hour || last.Urgency != urgency || !regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`).MatchString(last.Topic) {
		f.Errorf("%d messages, the last %+v", len(all), last)
	}
	return last
}

// secondNotification waits for a second notification and returns it.
func (f *fixture) secondNotification(d *webpushtest.Device) webpushtest.Message {
	f.Helper()
	all := d.Wait(f.T, 2)
	return all[len(all)-1]
}

func TestCollapse(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben, eve := f.createUser("Aki"), f.createUser("Ben"), f.createUser("Eve")
		bens, eves := f.subscribe(ben), f.subscribe(eve)
		group := f.createConversation(chat.Group, "Lunch", aki, ben, eve)
		direct := f.createConversation(chat.Direct, "", aki, eve)
		p := f.startNotifier(notifier.Config{})
		f.sendMessage(group, aki, "first")
		second := f.sendMessage(group, eve, "second") // nothing new to its author
		f.sendMessage(group, aki, "third")
		p.waitTaken(3)
		_, _, err := f.store.Mark(f.Context(), group, eve.id, second.Seq, 0)
		f.must(err)
		p.releaseTimers()
		p.waitAcked(3)
		topic := f.assertNotification(bens, notificationContent{"Aki in Lunch", "(3) third", group.String()}, "normal").Topic
		f.assertNotification(eves, notificationContent{"Aki in Lunch", "third", group.String()}, "normal") // the rest is read
		f.sendMessage(group, aki, "fourth")
		if again := f.secondNotification(bens); again.Topic != topic || !strings.Contains(string(again.Payload), `"fourth"`) {
			f.Errorf("%+v", again)
		}
		f.sendMessage(direct, aki, "just you")
		p.waitAcked(5)
		if last := eves.Wait(f.T, 3); last[len(last)-1].Topic == topic {
			f.Error("two conversations have one topic")
		}
		if n := bens.PushCount(); n != 2 {
			f.Errorf("%d notifications", n)
		}
	})
}

func TestTextsAreCurrent(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser("Aki"), f.createUser("Ben")
		bens := f.subscribe(ben)
		edited, deleted := f.createConversation(chat.Direct, "", aki, ben), f.createConversation(chat.Group, "Lunch", aki, ben)
		p := f.startNotifier(notifier.Config{})
		m := f.sendMessage(edited, aki, "my pasword")
		f.sendMessage(deleted, aki, "first")
		secret := f.sendMessage(deleted, aki, "secret")
		p.waitTaken(3)
		_, err := f.store.EditMessage(f.Context(), m.Conversation, m.Seq, aki.id, "my password")
		f.must(err)
		_, err = f.store.DeleteMessage(f.Context(), secret.Conversation, secret.Seq, aki.id)
		f.must(err)
		p.releaseTimers()
		p.waitAcked(3)
		var texts []string
		for _, got := range bens.Wait(f.T, 2) {
			var s notificationContent
			f.must(json.Unmarshal(got.Payload, &s))
			texts = append(texts, s.Body)
		}
		slices.Sort(texts)
		if !slices.Equal(texts, []string{"(2) …", "my password"}) {
			f.Errorf("%q", texts)
		}
	})
}

// The longest possible notification fits into a push message.
func TestLongestPayload(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser(strings.Repeat("\u2028", chat.MaxDisplayName)), f.createUser("Ben")
		device := f.subscribe(ben)
		channel := f.createConversation(chat.Channel, strings.Repeat("\"", chat.MaxTitle), aki, ben)
		p := f.startNotifier(notifier.Config{})
		for range 3 {
			f.sendMessage(channel, aki, strings.Repeat("𝄞\"", 2000))
		}
		p.waitTaken(3)
		p.releaseTimers()
		if got := device.Wait(f.T, 1); len(got[0].Payload) > webpush.MaxPayload || !json.Valid(got[0].Payload) {
			f.Errorf("%d bytes: %s", len(got[0].Payload), got[0].Payload)
		}
	})
}
