package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
)

const (
	dialTimeout  = 3 * time.Second
	heartbeat    = 10 * time.Second
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// dial connects to any of the nodes that answers.
func dial(ctx context.Context, urls []string, purpose string) (*amqp.Connection, error) {
	var errs []error
	for _, i := range rand.Perm(len(urls)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		conn, err := dialOne(ctx, urls[i], purpose)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func dialOne(ctx context.Context, url, purpose string) (*amqp.Connection, error) {
	uri, err := amqp.ParseURI(url)
	if err != nil {
		// The parser's error may repeat the address, password and all.
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
			// For the handshake; the library lifts it afterwards.
			return c, c.SetDeadline(time.Now().Add(2 * dialTimeout))
		},
	})
	if err != nil {
		return nil, explain(uri, err)
	}
	if err := checkVersion(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// explain says what is wrong, which setting it is and what to do.
func explain(uri amqp.URI, err error) error {
	where := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	var e *amqp.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("--broker: %s does not answer (%w); check the address, and that RabbitMQ runs", where, err)
	}
	switch {
	case e.Code == amqp.FrameError, e.Code == amqp.SyntaxError:
		return fmt.Errorf("--broker: what answers at %s is not RabbitMQ (%w); check the address", where, err)
	case errors.Is(e, amqp.ErrCredentials), e.Code == amqp.AccessRefused && !strings.Contains(e.Reason, "vhost"):
		return fmt.Errorf("--broker: %s does not let the user %s in; check user and password", where, uri.Username)
	case errors.Is(e, amqp.ErrVhost), e.Code == amqp.NotAllowed, e.Code == amqp.AccessRefused:
		return fmt.Errorf("--broker: %s has no virtual host %q for the user %s; make it with rabbitmqctl add_vhost and set_permissions", where, uri.Vhost, uri.Username)
	}
	return fmt.Errorf("--broker: %s: %w", where, err)
}

// oldest is the first version whose quorum queues do what is needed.
const oldest = "3.10"

func checkVersion(conn *amqp.Connection) error {
	product, _ := conn.Properties["product"].(string)
	if product != "RabbitMQ" {
		return fmt.Errorf("--broker: the server is %s; Hikyaku needs RabbitMQ %s or newer", product, oldest)
	}
	major, minor, err := version(conn)
	if err != nil {
		return err
	}
	if major < 3 || major == 3 && minor < 10 {
		return fmt.Errorf("--broker: the server is RabbitMQ %d.%d; Hikyaku needs %s or newer", major, minor, oldest)
	}
	return nil
}

// version is the server's.
func version(conn *amqp.Connection) (major, minor int, err error) {
	told, _ := conn.Properties["version"].(string)
	if _, err := fmt.Sscanf(told, "%d.%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("--broker: the server's version %q cannot be read: %w", told, err)
	}
	return major, minor, nil
}

// supervise keeps serve running on a connection until ctx ends: it connects to
// any live node, and when the connection is lost, or serve returns, again,
// after a wait that grows with the failures and is spread at random.
func supervise(ctx context.Context, urls []string, purpose string, log *slog.Logger, first *amqp.Connection, serve func(ctx context.Context, conn *amqp.Connection) error) {
	retry := backoff.Backoff{InitialInterval: firstBackoff, MaxInterval: lastBackoff, Jitter: 0.5}
	conn := first
	for ctx.Err() == nil {
		var err error
		if conn == nil {
			conn, err = dial(ctx, urls, purpose)
		}
		if err == nil {
			began := time.Now()
			err = serve(ctx, conn)
			_ = conn.CloseDeadline(time.Now().Add(time.Second))
			if time.Since(began) > lastBackoff {
				retry.Reset()
			}
		}
		conn = nil
		if ctx.Err() != nil {
			return
		}
		wait := retry.Next()
		log.Warn("the connection to RabbitMQ is lost; trying again", "purpose", purpose, "after", wait.Round(time.Millisecond), "error", err)
		_ = backoff.Sleep(ctx, wait)
	}
}
