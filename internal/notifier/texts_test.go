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

type shown struct {
	Title        string `json:"title"`
	Body         string `json:"body"`
	Conversation string `json:"conversation"`
}

// shows waits for one notification and tells what it says.
func (w *world) shows(d *webpushtest.Device, want shown, urgency string) webpushtest.Message {
	w.Helper()
	all := d.Wait(w.T, 1)
	last := all[len(all)-1]
	var got shown
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

// shows2 is what a device shows after a second notification.
func (w *world) shows2(d *webpushtest.Device) webpushtest.Message {
	w.Helper()
	all := d.Wait(w.T, 2)
	return all[len(all)-1]
}

func TestCollapse(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki, ben, eve := w.person("Aki"), w.person("Ben"), w.person("Eve")
		bens, eves := w.subscribe(ben), w.subscribe(eve)
		group := w.converse(chat.Group, "Lunch", aki, ben, eve)
		direct := w.converse(chat.Direct, "", aki, eve)
		p := w.start(notifier.Config{})
		w.say(group, aki, "first")
		second := w.say(group, eve, "second") // nothing new to its author
		w.say(group, aki, "third")
		p.has(3)
		_, _, err := w.store.Mark(w.Context(), group, eve.id, second.Seq, 0)
		w.ok(err)
		p.open()
		p.finished(3)
		topic := w.shows(bens, shown{"Aki in Lunch", "(3) third", group.String()}, "normal").Topic
		w.shows(eves, shown{"Aki in Lunch", "third", group.String()}, "normal") // the rest is read
		w.say(group, aki, "fourth")
		if again := w.shows2(bens); again.Topic != topic || !strings.Contains(string(again.Payload), `"fourth"`) {
			w.Errorf("%+v", again)
		}
		w.say(direct, aki, "just you")
		p.finished(5)
		if last := eves.Wait(w.T, 3); last[len(last)-1].Topic == topic {
			w.Error("two conversations have one topic")
		}
		if n := bens.Pushes(); n != 2 {
			w.Errorf("%d notifications", n)
		}
	})
}

func TestTextsAreAsTheyAreNow(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki, ben := w.person("Aki"), w.person("Ben")
		bens := w.subscribe(ben)
		edited, deleted := w.converse(chat.Direct, "", aki, ben), w.converse(chat.Group, "Lunch", aki, ben)
		p := w.start(notifier.Config{})
		m := w.say(edited, aki, "my pasword")
		w.say(deleted, aki, "first")
		secret := w.say(deleted, aki, "secret")
		p.has(3)
		_, err := w.store.EditMessage(w.Context(), m.Conversation, m.Seq, aki.id, "my password")
		w.ok(err)
		_, err = w.store.DeleteMessage(w.Context(), secret.Conversation, secret.Seq, aki.id)
		w.ok(err)
		p.open()
		p.finished(3)
		var texts []string
		for _, got := range bens.Wait(w.T, 2) {
			var s shown
			w.ok(json.Unmarshal(got.Payload, &s))
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
	everywhere(t, func(w *world) {
		aki, ben := w.person(strings.Repeat("\u2028", chat.MaxDisplayName)), w.person("Ben")
		device := w.subscribe(ben)
		channel := w.converse(chat.Channel, strings.Repeat("\"", chat.MaxTitle), aki, ben)
		p := w.start(notifier.Config{})
		for range 3 {
			w.say(channel, aki, strings.Repeat("𝄞\"", 2000))
		}
		p.has(3)
		p.open()
		if got := device.Wait(w.T, 1); len(got[0].Payload) > webpush.MaxPayload || !json.Valid(got[0].Payload) {
			w.Errorf("%d bytes: %s", len(got[0].Payload), got[0].Payload)
		}
	})
}
