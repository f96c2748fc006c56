package notifier

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// payload is what the page's service worker shows.
type payload struct {
	Title        string              `json:"title"`
	Body         string              `json:"body"`
	Conversation chat.ConversationID `json:"conversation"`
}

// newNotification returns the notification for the user's devices. Its only words that
// people did not write themselves are "in", between the names.
func (w *worker) newNotification(n *pendingNotification, state store.NotificationState, sender, text string) (webpush.Notification, error) {
	p := payload{Title: sender, Body: text, Conversation: n.Conversation}
	urgency := "normal"
	switch state.Kind {
	case chat.Direct:
		urgency = "high"
	case chat.Channel:
		p.Title += " in #" + state.Title
	default:
		p.Title += " in " + state.Title
	}
	// Messages that were read meanwhile do not count.
	if count := min(int64(n.count), n.lastSeq-state.Read); count > 1 {
		p.Body = fmt.Sprintf("(%d) %s", count, text)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it makes six bytes of one
	if err := e.Encode(p); err != nil {
		return webpush.Notification{}, fmt.Errorf("encode a notification: %w", err)
	}
	return webpush.Notification{
		Payload: bytes.TrimSuffix(b.Bytes(), []byte("\n")), Topic: topic(w.Store.Secret(), n.Conversation), TTL: w.TTL, Urgency: urgency,
	}, nil
}

// topic is the name of a conversation for push services: a newer notification replaces
// one that was not delivered to the device yet. The services cannot find out which
// conversation it is.
func topic(secret []byte, id chat.ConversationID) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("push topic"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(id))) //nolint:gosec // ids are positive
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:webpush.MaxTopic]
}
