package rabbitmq

import (
	"context"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// uplink is a connection for publishing, opened again whenever it is lost. When
// there are several nodes there are two, to different ones: a node that hangs is
// known for dead after maxSilence, and then everything goes by the other uplink,
// without a connection, a channel or a queue having to be opened first. Until
// RabbitMQ has noticed itself (net_ticktime), these wait for the node that hangs. A
// node that is cut off from the others answers heartbeats and confirms nothing: what
// it has not confirmed after [patience] goes by the other uplink as well.
type uplink struct {
	session atomic.Pointer[session] // nil while it is unavailable
}

// session is a connection that publishes use until it is lost.
type session struct {
	conn *amqp.Connection
	lost chan struct{} // closed when the session ends
}

// newSession declares the topology on a connection and returns its session.
func (b *Broker) newSession(conn *amqp.Connection) (*session, error) {
	if err := declareTopology(conn, b.cfg.Partitions, b.log); err != nil {
		return nil, err
	}
	return &session{conn: conn, lost: make(chan struct{})}, nil
}

// serveSession accepts publishes on an uplink until the connection is lost or ctx
// ends.
func (b *Broker) serveSession(ctx context.Context, u *uplink, conn *amqp.Connection) error {
	s := u.session.Load()
	if s == nil || s.conn != conn { // Open made the session of the first connection
		var err error
		if s, err = b.newSession(conn); err != nil {
			return err
		}
		u.session.Store(s)
	}
	connectionLost := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	blocked := false
	setBlocked := func(now bool) {
		switch {
		case now && !blocked:
			b.blocked.Add(1)
		case blocked && !now:
			b.blocked.Add(-1)
		}
		blocked = now
	}
	defer func() {
		u.session.Store(nil)
		setBlocked(false)
		close(s.lost)
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-connectionLost:
			return closeError(err)
		case state, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			setBlocked(state.Active)
			if state.Active {
				b.log.Warn("RabbitMQ blocks publishes", "reason", state.Reason)
			} else {
				b.log.Info("RabbitMQ accepts publishes again")
			}
		}
	}
}

// closeError returns the error that the library reported for the end of a
// connection or channel. The library reports nil for one that was closed on
// purpose.
func closeError(err *amqp.Error) error {
	if err == nil {
		return errOutcomeUnknown
	}
	return err
}

// connected reports whether there is a session.
func (b *Broker) connected() bool { return b.currentSession(nil) != nil }

// currentSession returns a session, nil when there is none: another one than avoid,
// where something has failed, if there is another one.
func (b *Broker) currentSession(avoid *session) (current *session) {
	for _, u := range b.uplinks {
		if s := u.session.Load(); s != nil && (current == nil || current == avoid) {
			current = s
		}
	}
	return current
}

// confirmTimeout is how long to wait for a confirmation on a session, where that of
// a failure is to use another one, if there is another one.
func (b *Broker) confirmTimeout(s *session) time.Duration {
	if b.currentSession(s) != s {
		return patience
	}
	return confirmTimeout
}
