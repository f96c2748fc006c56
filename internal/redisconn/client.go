// Package redisconn connects to Redis 7 or later: a single server, one with
// Sentinel, or a Cluster. The data in Redis can be lost at any time without harm;
// docs/operations.md says what happens then.
package redisconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
)

// CallTimeout is the maximum duration of a call.
const CallTimeout = 2 * time.Second

// prefix begins every key and channel, so that Redis can be shared with other
// programs.
const prefix = "hikyaku:"

// Client is a connection to Redis that reconnects after failures. It is safe for
// concurrent use.
type Client struct {
	rueidis.Client
	database int
	addr     string
	calls    chan struct{} // holds one for each goroutine of Call
	closing  chan struct{}
	close    sync.Once
}

// Open connects and checks that the server can be used.
func Open(ctx context.Context, address string) (*Client, error) {
	option, err := parse(address)
	if err != nil {
		return nil, err
	}
	option.DisableCache = true
	// A call fails at once when the server is unavailable; callers retry.
	option.DisableRetry = true
	option.ClientName = "hikyaku"
	option.Dialer = net.Dialer{Timeout: dialTimeout, KeepAlive: 10 * time.Second}
	option.DialCtxFn = dial
	option.ConnWriteTimeout = 10 * time.Second
	c := &Client{
		database: option.SelectDB, addr: strings.Join(option.InitAddress, ","),
		calls: make(chan struct{}, maxCalls), closing: make(chan struct{}),
	}
	if c.Client, err = rueidis.NewClient(option); err != nil {
		return nil, explain(c.addr, err)
	}
	if err := c.check(ctx, strings.Contains(address, "+cluster://")); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

var errAddress = errors.New("--redis: the address cannot be read; it looks like redis://:password@host:6379/0, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379,host:6379")

// parse parses an address. Its errors do not contain the address, which may
// contain a password.
func parse(address string) (o rueidis.ClientOption, err error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return o, errAddress
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		if o.Username, err = url.PathUnescape(user); err != nil {
			return o, errAddress
		}
		if o.Password, err = url.PathUnescape(password); err != nil {
			return o, errAddress
		}
		rest = rest[at+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	kind, secure := strings.CutPrefix(scheme, "rediss")
	if !secure {
		kind, ok = strings.CutPrefix(scheme, "redis")
		if !ok {
			return o, errAddress
		}
	}
	port := "6379"
	switch kind {
	case "":
		o.ForceSingleClient = true
		if path != "" {
			if o.SelectDB, err = strconv.Atoi(path); err != nil || o.SelectDB < 0 {
				return o, errAddress
			}
		}
	case "+cluster":
		o.ShuffleInit = true
	case "+sentinel":
		port = "26379"
		if path == "" {
			return o, errAddress
		}
		o.Sentinel = rueidis.SentinelOption{MasterSet: path}
	default:
		return o, errAddress
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return o, errAddress
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, port)
		}
		o.InitAddress = append(o.InitAddress, host)
	}
	if kind == "" && len(o.InitAddress) != 1 {
		return o, errAddress
	}
	if secure {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o, nil
}

// explain turns an error of the driver into a sentence for the operator.
func explain(addr string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"), strings.Contains(text, "without any password configured"):
		return fmt.Errorf("--redis: %s refuses the login; check user and password", addr)
	case strings.Contains(text, "cluster support disabled"), strings.Contains(text, "unknown command `CLUSTER`"):
		return fmt.Errorf("--redis: %s is not a Redis Cluster; use redis:// instead of redis+cluster://", addr)
	case strings.Contains(text, "unknown command 'HELLO'"), strings.Contains(text, "unknown command `HELLO`"):
		return fmt.Errorf("--redis: the server at %s is too old; Hikyaku needs Redis 7.0 or newer", addr)
	case strings.Contains(text, "No such master"):
		return fmt.Errorf("--redis: the Sentinels at %s know no master of this name; check the name at the end of the address", addr)
	}
	lines := strings.Split(text, "\n")
	if strings.Contains(text, "unknown message type") {
		return fmt.Errorf("--redis: the server at %s is not Redis (%s); check the address", addr, lines[len(lines)-1])
	}
	return fmt.Errorf("--redis: %s does not answer (%s); check the address, and that Redis runs", addr, lines[len(lines)-1])
}

// check checks the version and the mode of the server.
func (c *Client) check(ctx context.Context, cluster bool) error {
	ctx, cancel := WithCallTimeout(ctx)
	defer cancel()
	info, err := c.Do(ctx, c.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return explain(c.addr, err)
	}
	fields := map[string]string{}
	for line := range strings.SplitSeq(info, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = value
		}
	}
	major, _, _ := strings.Cut(fields["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return fmt.Errorf("--redis: the server at %s is Redis %s; Hikyaku needs 7.0 or newer", c.addr, fields["redis_version"])
	}
	switch isCluster := fields["redis_mode"] == "cluster"; {
	case cluster && !isCluster:
		return fmt.Errorf("--redis: %s is not a Redis Cluster; use redis:// instead of redis+cluster://", c.addr)
	case isCluster && !cluster:
		return fmt.Errorf("--redis: %s belongs to a Redis Cluster; use redis+cluster:// instead of redis://", c.addr)
	}
	return nil
}

// Key returns the full name of a key. The part in braces, if there is one, is the
// hash tag, which determines the slot in a Cluster.
func (c *Client) Key(name string) string { return prefix + name }

// Channel returns the full name of a channel. It contains the database, because
// channels, unlike keys, are not separated by database.
func (c *Client) Channel(name string) string { return prefix + strconv.Itoa(c.database) + ":" + name }

// Ping returns an error when Redis does not answer.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := WithCallTimeout(ctx)
	defer cancel()
	if err := c.Do(ctx, c.B().Ping().Build()).Error(); err != nil {
		return explain(c.addr, err)
	}
	return nil
}

// Claim records that this Redis belongs to an installation, and returns an error
// when it belongs to another one. An empty Redis can be claimed by anyone.
func (c *Client) Claim(ctx context.Context, installation string) error {
	ctx, cancel := WithCallTimeout(ctx)
	defer cancel()
	key := c.Key("installation")
	for {
		owner, err := c.Do(ctx, c.B().Get().Key(key).Build()).ToString()
		switch {
		case rueidis.IsRedisNil(err):
			if err := c.Do(ctx, c.B().Set().Key(key).Value(installation).Nx().Build()).Error(); err != nil && !rueidis.IsRedisNil(err) {
				return explain(c.addr, err)
			}
			continue
		case err != nil:
			return explain(c.addr, err)
		case owner != installation:
			return fmt.Errorf("--redis: %s belongs to another installation of Hikyaku, whose database is another one; give each installation a Redis of its own, or another number at the end of the address", c.addr)
		}
		return nil
	}
}

// maxCalls is the maximum number of goroutines of Call: more than there ever are
// while Redis answers.
const maxCalls = 1024

// Call runs call in another goroutine and waits for it until ctx has ended, and for
// grace after that. The library may wait longer than ctx allows, for a connection;
// the goroutine then ends when the attempt to connect does. When there are too many
// of them, the next calls wait for a slot, until ctx ends. Close waits for all.
func Call[T any](ctx context.Context, c *Client, grace time.Duration, call func() T) (out T, err error) {
	select {
	case c.calls <- struct{}{}:
	case <-c.closing:
		return out, rueidis.ErrClosing
	case <-ctx.Done():
		return out, ctx.Err()
	}
	done := make(chan T, 1)
	go func() {
		defer func() { <-c.calls }()
		done <- call()
	}()
	select {
	case out = <-done:
		return out, nil
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case out = <-done:
		return out, nil
	case <-late.C:
		return out, ctx.Err()
	}
}

// Close disconnects and waits for the goroutines of [Call]. It is idempotent.
func (c *Client) Close() {
	c.close.Do(func() {
		close(c.closing)
		c.Client.Close()
		for range cap(c.calls) {
			c.calls <- struct{}{}
		}
	})
}

// WithCallTimeout returns a context whose deadline is at most CallTimeout away: no
// caller waits longer for Redis, because every caller can do without it.
func WithCallTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, CallTimeout)
}

// dialTimeout is how long connecting to a server may take.
const dialTimeout = 3 * time.Second

// dial connects to a server, with the handshake of TLS within the dialer's timeout. The
// library's dialer of Sentinels has none.
func dial(ctx context.Context, addr string, d *net.Dialer, secure *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, dialTimeout))
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c = rawtcp.New(c)
	if secure == nil {
		return c, nil
	}
	if secure.ServerName == "" {
		secure = secure.Clone()
		secure.ServerName, _, _ = net.SplitHostPort(addr)
	}
	t := tls.Client(c, secure)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return t, nil
}
