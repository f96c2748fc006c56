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

// assertNotification waits for one notification and tells what it says.
func (w *fixture) assertNotification(d *webpushtest.Device, want notificationContent, urgency string) webpushtest.Message {
	w.Helper()
	all := d.Wait(w.T, 1)
	last := all[len(all)-1]
	var got notificationContent
	decoder := json.NewDecoder(strings.NewReader(string(last.Payload)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil || got != want {
		w.Errorf("got %s (%v), want %+v", last.Payload, err, want)
	}
	if len(all) != 1 || last.TTL != 24*time.Hour || last.Urgency != urgency || !regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`).MatchString(last.Topic) {
		w.Errorf("%d messages, the last %+v", len(all), last)
	}
	return last
}

// secondNotification is what a device shows after a second notification.
func (w *fixture) secondNotification(d *webpushtest.Device) webpushtest.Message {
	w.Helper()
	all := d.Wait(w.T, 2)
	return all[len(all)-1]
}

func TestCollapse(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben, eve := w.createUser("Aki"), w.createUser("Ben"), w.createUser("Eve")
		bens, eves := w.subscribe(ben), w.subscribe(eve)
		group := w.createConversation(chat.Group, "Lunch", aki, ben, eve)
		direct := w.createConversation(chat.Direct, "", aki, eve)
		p := w.startNotifier(notifier.Config{})
		w.sendMessage(group, aki, "first")
		second := w.sendMessage(group, eve, "second") // nothing new to its author
		w.sendMessage(group, aki, "third")
		p.waitTaken(3)
		_, _, err := w.store.Mark(w.Context(), group, eve.id, second.Seq, 0)
		w.must(err)
		p.releaseTimers()
		p.waitAcked(3)
		topic := w.assertNotification(bens, notificationContent{"Aki in Lunch", "(3) third", group.String()}, "normal").Topic
		w.assertNotification(eves, notificationContent{"Aki in Lunch", "third", group.String()}, "normal") // the rest is read
		w.sendMessage(group, aki, "fourth")
		if again := w.secondNotification(bens); again.Topic != topic || !strings.Contains(string(again.Payload), `"fourth"`) {
			w.Errorf("%+v", again)
		}
		w.sendMessage(direct, aki, "just you")
		p.waitAcked(5)
		if last := eves.Wait(w.T, 3); last[len(last)-1].Topic == topic {
			w.Error("two conversations have one topic")
		}
		if n := bens.PushCount(); n != 2 {
			w.Errorf("%d notifications", n)
		}
	})
}

func TestTextsAreAsTheyAreNow(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser("Aki"), w.createUser("Ben")
		bens := w.subscribe(ben)
		edited, deleted := w.createConversation(chat.Direct, "", aki, ben), w.createConversation(chat.Group, "Lunch", aki, ben)
		p := w.startNotifier(notifier.Config{})
		m := w.sendMessage(edited, aki, "my pasword")
		w.sendMessage(deleted, aki, "first")
		secret := w.sendMessage(deleted, aki, "secret")
		p.waitTaken(3)
		_, err := w.store.EditMessage(w.Context(), m.Conversation, m.Seq, aki.id, "my password")
		w.must(err)
		_, err = w.store.DeleteMessage(w.Context(), secret.Conversation, secret.Seq, aki.id)
		w.must(err)
		p.releaseTimers()
		p.waitAcked(3)
		var texts []string
		for _, got := range bens.Wait(w.T, 2) {
			var s notificationContent
			w.must(json.Unmarshal(got.Payload, &s))
			texts = append(texts, s.Body)
		}
		slices.Sort(texts)
		if !slices.Equal(texts, []string{"(2) …", "my password"}) {
			w.Errorf("%q", texts)
		}
	})
}

// The longest notification there can be is not too long.
func TestLongestPayload(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser(strings.Repeat("\u2028", chat.MaxDisplayName)), w.createUser("Ben")
		device := w.subscribe(ben)
		channel := w.createConversation(chat.Channel, strings.Repeat("\"", chat.MaxTitle), aki, ben)
		p := w.startNotifier(notifier.Config{})
		for range 3 {
			w.sendMessage(channel, aki, strings.Repeat("𝄞\"", 2000))
		}
		p.waitTaken(3)
		p.releaseTimers()
		if got := device.Wait(w.T, 1); len(got[0].Payload) > webpush.MaxPayload || !json.Valid(got[0].Payload) {
			w.Errorf("%d bytes: %s", len(got[0].Payload), got[0].Payload)
		}
	})
}
