// Package notifyqueue is the port between those who store messages and those who
// notify people that were away (package notifier). The embedded queue lives in
// the process, RabbitMQ serves a cluster; both pass notifyqueuetest.
//
// # The promises of a queue
//
//   - Publishing never waits and never fails: a notification is worth less
//     than the message, whose way it must not slow down. What cannot be kept
//     is lost, the oldest first.
//   - Jobs come about in the order in which they were published, those of one
//     Publish together, to one of the consumers.
//   - At least once: a delivery that was not done when its consumer ended or
//     lost its connection comes again, perhaps elsewhere. In a process that
//     dies, what only it knew is lost.
package notifyqueue

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Job is a stored message that some members have missed: they had no device
// connected.
type Job struct {
	Conversation chat.ConversationID
	Message      chat.MessageID
	Seq          int64
	Sender       chat.UserID
	Preview      string // of the text, see [Preview]
	At           time.Time
	Users        []chat.UserID // never the sender
}

// NewJob makes a job of a message and those who missed it.
func NewJob(m *chat.Message, users []chat.UserID) Job {
	return Job{
		Conversation: m.Conversation, Message: m.ID, Seq: m.Seq, Sender: m.Sender,
		Preview: Preview(m.Body), At: m.At, Users: users,
	}
}

// MaxPreview is how many characters a preview has, without its ellipsis.
const MaxPreview = 160

// Preview is the beginning of a text on one line. Marks of Markdown stay: they
// are made to be read as they are.
func Preview(body string) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range body {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError {
			space = n > 0
			continue
		}
		if n >= MaxPreview {
			b.WriteRune('…')
			break
		}
		if space {
			b.WriteByte(' ')
			n, space = n+1, false
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// Delivery is what was published together.
type Delivery struct {
	Jobs []Job
	// Ack says that all is sent or given up. It is called once at most, by
	// any goroutine, and may be called after the consumer has ended.
	Ack func()
}

// Handler takes deliveries, one at a time. As long as it does not return, the
// consumer gets no more; it returns when ctx ends.
type Handler func(ctx context.Context, d Delivery)

// Publisher puts jobs into the queue.
type Publisher interface {
	// Publish takes jobs, which the caller changes no more.
	Publish(jobs []Job)
}

// Consumer takes jobs out of the queue.
type Consumer interface {
	// Consume hands deliveries to handle until ctx ends. There may be several
	// consumers.
	Consume(ctx context.Context, handle Handler) error
}

// Queue is all of the port.
type Queue interface {
	Publisher
	Consumer
}
