package rabbitmq

import (
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// minChannelAge bounds how often a channel that refuses is replaced.
const minChannelAge = 500 * time.Millisecond

// confirmChannel is an AMQP channel in confirm mode. Every partition and the
// notification queue have their own, so that an error of one does not affect the
// others. One goroutine uses it.
type confirmChannel struct {
	session *session
	ch      *amqp.Channel
	// returns are messages that the broker had no queue for. It returns a
	// message before it confirms it, so the buffer has it by then.
	returns   chan amqp.Return
	opened    time.Time
	discarded bool
	closing   *sync.WaitGroup // counts background closes
}

// openConfirmChannel opens a channel on a session. [Broker.Close] waits for
// the goroutines that it starts.
func (b *Broker) openConfirmChannel(s *session) (*confirmChannel, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, errUnavailable
	}
	if err := ch.Confirm(false); err != nil {
		return nil, errUnavailable
	}
	return &confirmChannel{session: s, ch: ch, returns: ch.NotifyReturn(make(chan amqp.Return, 4)), opened: time.Now(), closing: &b.running}, nil
}

// usable reports whether the next batch may use the channel. c may be nil.
func (c *confirmChannel) usable(s *session) bool {
	return c != nil && !c.discarded && c.session == s && !c.ch.IsClosed()
}

// discard has the next batch use a new channel, unless this one is younger than
// minAge. The caller must be a goroutine that the broker waits for.
func (c *confirmChannel) discard(minAge time.Duration) {
	if c.discarded || time.Since(c.opened) < minAge {
		return
	}
	c.discarded = true
	// Close waits for the server's answer, which the next batch need not do.
	c.closing.Go(func() { _ = c.ch.Close() })
}
