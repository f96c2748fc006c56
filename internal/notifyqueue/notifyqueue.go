// Package notifyqueue is the port between the workers that store messages and the
// notifiers that notify users who were offline (package notifier). The embedded
// queue lives in the process, RabbitMQ serves a cluster; both pass notifyqueuetest.
//
// # Contract
//
//   - Publish never blocks and never fails: a notification is worth less than its
//     message, which it must not delay. When the queue is full, the oldest jobs are
//     lost.
//   - Order: jobs are delivered roughly in the order in which they were published.
//     Those of one Publish are delivered together, to one of the consumers.
//   - At least once: a delivery that was not acknowledged when its consumer ended or
//     lost its connection is redelivered, perhaps to another consumer. When a process
//     dies, jobs that were only in its memory are lost.
//   - Concurrency: all methods are safe for concurrent use.
package notifyqueue

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Job is a stored message and the members who missed it, because they had no device
// connected.
type Job struct {
	Conversation chat.ConversationID
	Message      chat.MessageID
	Seq          int64
	Sender       chat.UserID
	Preview      string // of the text; see [Preview]
	At           time.Time
	Users        []chat.UserID // never the sender
}

// NewJob returns the job of a message and the users who missed it.
func NewJob(m *chat.Message, users []chat.UserID) Job {
	return Job{
		Conversation: m.Conversation, Message: m.ID, Seq: m.Seq, Sender: m.Sender,
		Preview: Preview(m.Body), At: m.At, Users: users,
	}
}

// MaxPreview is the maximum number of code points of a preview, without its ellipsis.
const MaxPreview = 160

// Preview returns the beginning of a text as one line. Markdown stays as it is: the
// notifier removes it.
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

// Delivery is the jobs of one Publish, or of several.
type Delivery struct {
	Jobs []Job
	// Ack acknowledges the delivery: every job is done or given up. It is called at
	// most once, by any goroutine, and may be called after the consumer has ended.
	Ack func()
}

// Handler receives deliveries, one at a time. The consumer gets no more until it
// returns; it must return when ctx ends.
type Handler func(ctx context.Context, d Delivery)

// Publisher adds jobs to the queue.
type Publisher interface {
	// Publish queues jobs. The caller must not change them afterwards.
	Publish(jobs []Job)
}

// Consumer delivers the jobs of the queue.
type Consumer interface {
	// Consume calls handle for each delivery until ctx ends. There may be several
	// consumers.
	Consume(ctx context.Context, handle Handler) error
}

// Queue is the whole port.
type Queue interface {
	Publisher
	Consumer
}
