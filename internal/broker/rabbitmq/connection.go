package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
)

const (
	dialTimeout = 3 * time.Second
	minBackoff  = 100 * time.Millisecond
	maxBackoff  = 5 * time.Second

	// heartbeat is what both ends agree on, in whole seconds: each sends something
	// at least twice in it. RabbitMQ closes a connection on which it receives
	// nothing for two to three times as long, and gives the partitions of a hung
	// worker to the next one. A process that was only slow for so long connects
	// again, and what it had in work comes twice.
	heartbeat = 2 * time.Second
	// maxSilence is how long a connection lasts on which nothing arrives: a node
	// that hangs has missed three heartbeats by then.
	maxSilence = 3 * heartbeat / 2
)

// watchedConn is a network connection that ends when nothing arrives for
// maxSilence.
type watchedConn struct{ net.Conn }

// Read implements [net.Conn]. The first error closes the connection: a writer may
// be waiting for a node that takes nothing any more, and the AMQP library waits
// for its writers before it tells anybody of the loss.
func (c watchedConn) Read(b []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(maxSilence))
	n, err := c.Conn.Read(b)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// SetDeadline implements [net.Conn]. There is always one for reading: the AMQP
// library removes that of its handshake while a Read waits.
func (c watchedConn) SetDeadline(t time.Time) error {
	if !t.IsZero() {
		return c.Conn.SetDeadline(t)
	}
	return errors.Join(c.SetWriteDeadline(t), c.SetReadDeadline(time.Now().Add(maxSilence)))
}

// dial connects to a node.
func dial(ctx context.Context, url, purpose string) (*amqp.Connection, error) {
	uri, err := amqp.ParseURI(url)
	if err != nil {
		// The parser's error may contain the address with its password.
		return nil, errors.New("--broker: an address cannot be read; it looks like amqp://user:password@host:5672/vhost")
	}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName("hikyaku " + purpose)
	dialer := &net.Dialer{Timeout: dialTimeout}
	conn, err := amqp.DialConfig(url, amqp.Config{
		Heartbeat: heartbeat, Properties: properties,
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			// For the handshake; the library resets it afterwards.
			return watchedConn{rawtcp.New(c)}, c.SetDeadline(time.Now().Add(2 * dialTimeout))
		},
	})
	if err != nil {
		return nil, explainDialError(uri, err)
	}
	if err := checkVersion(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// explainDialError returns an error that names the setting, the cause and the
// cure.
func explainDialError(uri amqp.URI, err error) error {
	addr := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	var e *amqp.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("--broker: %s does not answer (%w); check the address, and that RabbitMQ runs", addr, err)
	}
	switch {
	case e.Code == amqp.FrameError, e.Code == amqp.SyntaxError:
		return fmt.Errorf("--broker: what answers at %s is not RabbitMQ (%w); check the address", addr, err)
	case errors.Is(e, amqp.ErrCredentials), e.Code == amqp.AccessRefused && !strings.Contains(e.Reason, "vhost"):
		return fmt.Errorf("--broker: %s does not let the user %s in; check user and password", addr, uri.Username)
	case errors.Is(e, amqp.ErrVhost), e.Code == amqp.NotAllowed, e.Code == amqp.AccessRefused:
		return fmt.Errorf("--broker: %s has no virtual host %q for the user %s; make it with rabbitmqctl add_vhost and set_permissions", addr, uri.Vhost, uri.Username)
	}
	return fmt.Errorf("--broker: %s: %w", addr, err)
}

// minVersion is the first version whose quorum queues have all features needed.
const minVersion = "3.10"

func checkVersion(conn *amqp.Connection) error {
	product, _ := conn.Properties["product"].(string)
	if product != "RabbitMQ" {
		return fmt.Errorf("--broker: the server is %s; Hikyaku needs RabbitMQ %s or newer", product, minVersion)
	}
	major, minor, err := serverVersion(conn)
	if err != nil {
		return err
	}
	if major < 3 || major == 3 && minor < 10 {
		return fmt.Errorf("--broker: the server is RabbitMQ %d.%d; Hikyaku needs %s or newer", major, minor, minVersion)
	}
	return nil
}

// serverVersion returns the version of the server.
func serverVersion(conn *amqp.Connection) (major, minor int, err error) {
	text, _ := conn.Properties["version"].(string)
	if _, err := fmt.Sscanf(text, "%d.%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("--broker: the server's version %q cannot be read: %w", text, err)
	}
	return major, minor, nil
}

// supervise keeps serve running on a connection until ctx ends. It takes
// connections from dial, or uses first unless that is nil. When the connection is
// lost or serve returns, it closes the connection and connects again, after a
// randomized wait that grows with the failures.
func supervise(ctx context.Context, dial func(context.Context) (*nodeConnection, error), purpose string, log *slog.Logger, first *nodeConnection, serve func(ctx context.Context, conn *amqp.Connection) error) {
	retry := backoff.Backoff{InitialInterval: minBackoff, MaxInterval: maxBackoff, Jitter: 0.5}
	conn := first
	for ctx.Err() == nil {
		var err error
		if conn == nil {
			conn, err = dial(ctx)
		}
		if err == nil {
			began := time.Now()
			err = serve(ctx, conn.Connection)
			conn.end(err)
			if time.Since(began) > maxBackoff {
				retry.Reset()
			}
		}
		conn = nil
		if ctx.Err() != nil {
			return
		}
		wait := retry.Next()
		log.Warn("the connection to RabbitMQ was lost; trying again", "purpose", purpose, "after", wait.Round(time.Millisecond), "error", err)
		_ = backoff.Sleep(ctx, wait)
	}
}
