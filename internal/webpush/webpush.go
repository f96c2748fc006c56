// Package webpush sends notifications to browsers through the push services
// of their makers: Web Push (RFC 8030), encrypted so that only the device can
// read it (RFC 8291), with the installation's name on it (VAPID, RFC 8292).
//
// An endpoint is a URL that a person's browser gave. It is treated as hostile:
// the sender connects to public addresses only, whatever the name resolves to
// at that moment, follows no redirect, and reads next to nothing of the
// answer. It is a secret as well: who knows it may push to the device. Errors
// name its host, never the whole.
package webpush

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	upstream "github.com/SherClockHolmes/webpush-go"

	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

const (
	// MaxPayload is the most that a notification carries. Push services take
	// 4096 bytes with all that encryption adds.
	MaxPayload = 3 << 10
	// MaxTopic is the longest topic, by RFC 8030.
	MaxTopic = 32
	// MaxTTL is the longest time that push services keep a notification.
	MaxTTL = 28 * 24 * time.Hour

	maxAnswer     = 4 << 10
	maxRetryAfter = 24 * time.Hour
)

// ErrGone says that the subscription has ended for good; it is to be removed.
var ErrGone = errors.New("the subscription has ended")

// RetryError says that the push service takes nothing now: it has too much to
// do, is broken, or does not answer.
type RetryError struct {
	Host   string
	Status int           // 0 when it did not answer
	After  time.Duration // when to try again, 0 when the service does not say; a day at most
	Err    error         // why it did not answer
}

// Unwrap gives why the service did not answer.
func (e *RetryError) Unwrap() error { return e.Err }

// Error names the service and what it answered.
func (e *RetryError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the push service %s does not answer: %v", e.Host, e.Err)
	}
	s := fmt.Sprintf("the push service %s takes nothing now (status %d)", e.Host, e.Status)
	if e.After > 0 {
		s += fmt.Sprintf("; try again in %v", e.After)
	}
	return s
}

// Keys are the pair by which push services know the installation (VAPID), in
// base64url without padding: an uncompressed P-256 point and its scalar.
// Subscriptions are bound to them: with new keys, every device subscribes anew.
type Keys struct{ Public, Private string }

// GenerateKeys makes a new pair.
func GenerateKeys() (Keys, error) {
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return Keys{}, fmt.Errorf("make a key for Web Push: %w", err)
	}
	enc := base64.RawURLEncoding
	return Keys{Public: enc.EncodeToString(k.PublicKey().Bytes()), Private: enc.EncodeToString(k.Bytes())}, nil
}

func (k Keys) check() error {
	raw, err := base64.RawURLEncoding.DecodeString(k.Private)
	if err != nil {
		return errors.New("the private key of Web Push is not base64url without padding")
	}
	private, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return errors.New("the private key of Web Push is not a key of the curve P-256")
	}
	if base64.RawURLEncoding.EncodeToString(private.PublicKey().Bytes()) != k.Public {
		return errors.New("the public key of Web Push does not belong to the private key")
	}
	return nil
}

// Config is what a [Sender] needs.
type Config struct {
	Keys Keys
	// Contact is where the makers of push services reach the operator:
	// mailto: or https:.
	Contact string
	// AllowPrivate lets the sender connect to every address and port, with
	// and without TLS: for tests, and for installations with a push service
	// of their own on a private network.
	AllowPrivate bool
	// Timeout is for one notification, 1 ms to 10 min; default 10 s.
	Timeout time.Duration
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	return c
}

// Validate returns the first error of a field.
func (c Config) Validate() error {
	if err := c.Keys.check(); err != nil {
		return err
	}
	if err := CheckContact(c.Contact); err != nil {
		return err
	}
	return setting.Between("push-timeout", c.Timeout, time.Millisecond, 10*time.Minute, "the time that one notification may take, such as 10s")
}

// CheckContact says whether a contact is one that push services take.
func CheckContact(contact string) error {
	const want = "the contact %q of Web Push is neither mailto: with an address nor an https: URL"
	switch address, isMail := strings.CutPrefix(contact, "mailto:"); {
	case isMail:
		// Exactly the address: with a name beside it, services refuse all.
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			return fmt.Errorf(want, contact)
		}
	default:
		if u, err := url.Parse(contact); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf(want, contact)
		}
	}
	return nil
}

// Notification is what is sent to one device.
type Notification struct {
	Payload []byte // at most MaxPayload
	// Topic replaces a notification of the same topic that the device has not
	// been given yet; at most MaxTopic letters, digits, - and _. Empty: none.
	Topic string
	// TTL is how long the service keeps it for a device that is away, in
	// whole seconds. 0: now or never.
	TTL time.Duration
	// Urgency is very-low, low, normal or high; empty is normal.
	Urgency string
}

func (n Notification) check() error {
	if len(n.Payload) > MaxPayload {
		return fmt.Errorf("the notification has %d bytes, more than %d", len(n.Payload), MaxPayload)
	}
	if len(n.Topic) > MaxTopic || strings.Trim(n.Topic, base64url) != "" {
		return fmt.Errorf("the topic %q is not at most %d letters, digits, - and _", n.Topic, MaxTopic)
	}
	if n.TTL < 0 || n.TTL > MaxTTL {
		return fmt.Errorf("the time to live %v is not between 0 and %v", n.TTL, MaxTTL)
	}
	switch upstream.Urgency(n.Urgency) {
	case "", upstream.UrgencyVeryLow, upstream.UrgencyLow, upstream.UrgencyNormal, upstream.UrgencyHigh:
		return nil
	}
	return fmt.Errorf("the urgency %q is not very-low, low, normal or high", n.Urgency)
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Sender sends notifications. It is safe for concurrent use.
type Sender struct {
	cfg       Config
	contact   string // as upstream wants it
	transport *http.Transport
}

// New makes a sender.
func New(cfg Config) (*Sender, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{KeepAlive: 30 * time.Second}
	if !cfg.AllowPrivate {
		// Called with the address itself, after the name was resolved: a name
		// that resolves differently the second time gains nothing.
		dialer.Control = func(network, address string, _ syscall.RawConn) error {
			return checkDial(network, address)
		}
	}
	return &Sender{
		cfg:     cfg,
		contact: strings.TrimPrefix(cfg.Contact, "mailto:"),
		transport: &http.Transport{
			Proxy:                  nil, // it would connect in our place, unchecked
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    cfg.Timeout,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    8,
			MaxConnsPerHost:        32,
			MaxResponseHeaderBytes: 16 << 10,
			DisableCompression:     true,
		},
	}, nil
}

// PublicKey is what a browser needs to subscribe.
func (s *Sender) PublicKey() string { return s.cfg.Keys.Public }

// Close gives back the connections that are idle.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }

// Check is [Subscription.Check] with what the configuration allows.
func (s *Sender) Check(sub Subscription) error { return sub.check(s.cfg.AllowPrivate) }

// Send hands the notification to the device's push service. When it returns
// nil, the service has it; whether the device gets it is not known. It fails
// with [ErrGone], a [*RetryError], or an error that a repetition will hardly
// change.
func (s *Sender) Send(ctx context.Context, sub Subscription, n Notification) error {
	if err := n.check(); err != nil {
		return err
	}
	// Again, though the API checked it: what is stored may be older than a rule.
	if err := s.Check(sub); err != nil {
		return fmt.Errorf("send a notification: %w", err)
	}
	host := sub.Host()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	// Clipped: upstream pads the payload in its spare capacity, which several
	// sends may share.
	answer, err := upstream.SendNotificationWithContext(ctx, slices.Clip(n.Payload), &upstream.Subscription{
		Endpoint: sub.Endpoint,
		Keys:     upstream.Keys{P256dh: sub.P256DH, Auth: sub.Auth},
	}, &upstream.Options{
		HTTPClient:      once{s.transport},
		Subscriber:      s.contact,
		Topic:           n.Topic,
		TTL:             int(n.TTL / time.Second),
		Urgency:         upstream.Urgency(n.Urgency),
		VAPIDPublicKey:  s.cfg.Keys.Public,
		VAPIDPrivateKey: s.cfg.Keys.Private,
	})
	var lost *lostError
	switch {
	case errors.As(err, &lost) && !errors.Is(err, errAddress):
		return &RetryError{Host: host, Err: lost.error}
	case err != nil:
		return fmt.Errorf("push to %s: %w", host, err)
	}
	defer func() { _ = answer.Body.Close() }() // the answer is its status
	// A connection whose answer was read to its end can be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	return verdict(host, answer)
}

func verdict(host string, answer *http.Response) error {
	switch status := answer.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusNotFound || status == http.StatusGone:
		return fmt.Errorf("push to %s: %w", host, ErrGone)
	case status == http.StatusTooManyRequests || status >= 500:
		return &RetryError{Host: host, Status: status, After: retryAfter(answer.Header.Get("Retry-After"), time.Now())}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("push to %s: the service does not accept the installation's key or contact (status %d)", host, status)
	default:
		return fmt.Errorf("push to %s: the service answered with status %d", host, status)
	}
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// once sends a request as it is: unlike http.Client it follows no redirect and
// puts no URL into its errors.
type once struct{ transport *http.Transport }

func (o once) Do(r *http.Request) (*http.Response, error) {
	answer, err := o.transport.RoundTrip(r)
	if err != nil {
		return nil, &lostError{err}
	}
	return answer, nil
}

// lostError marks what went wrong on the way to a service, which may pass.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }
