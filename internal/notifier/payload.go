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

// newNotification says a note to a device. Nothing in it is of a language but the
// names that people gave and the "in" between them.
func (r *worker) newNotification(n *pendingNotification, at store.NotificationState, sender, text string) (webpush.Notification, error) {
	p := payload{Title: sender, Body: text, Conversation: n.Conversation}
	urgency := "normal"
	switch at.Kind {
	case chat.Direct:
		urgency = "high"
	case chat.Channel:
		p.Title += " in #" + at.Title
	default:
		p.Title += " in " + at.Title
	}
	// What was read meanwhile does not count.
	if count := min(int64(n.count), n.lastSeq-at.Read); count > 1 {
		p.Body = fmt.Sprintf("(%d) %s", count, text)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it would make six bytes of one
	if err := e.Encode(p); err != nil {
		return webpush.Notification{}, fmt.Errorf("write a notification: %w", err)
	}
	return webpush.Notification{
		Payload: bytes.TrimSuffix(b.Bytes(), []byte("\n")), Topic: topic(r.Store.Secret(), n.Conversation), TTL: r.TTL, Urgency: urgency,
	}, nil
}

// topic names a conversation to push services: a newer notification replaces
// one that the device has not been given yet. The services cannot tell which
// conversation it is.
func topic(secret []byte, id chat.ConversationID) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("push topic"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(id))) //nolint:gosec // ids are positive
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:webpush.MaxTopic]
}
