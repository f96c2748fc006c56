// Package webpush sends notifications to browsers through the push services of their
// vendors: Web Push (RFC 8030), encrypted so that only the device can read it (RFC
// 8291), and signed by the installation (VAPID, RFC 8292).
//
// An endpoint is a URL that a user's browser sent. It is treated as hostile: the sender
// connects only to public addresses, whatever the name resolves to at that moment,
// follows no redirect, and reads little of the response. It is a secret as well: whoever
// knows it may push to the device. Errors contain its host, never the whole URL.
package webpush

import (
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
)

const (
	// MaxPayload is the maximum size of a payload in bytes. Push services accept
	// 4096 bytes with everything that encryption adds.
	MaxPayload = 3 << 10
	// MaxTopic is the maximum length of a topic, by RFC 8030.
	MaxTopic = 32
	// MaxTTL is the maximum time for which push services keep a notification.
	MaxTTL = 28 * 24 * time.Hour

	maxResponseBody = 4 << 10
	maxRetryAfter   = 24 * time.Hour
)

// ErrGone means that the subscription has ended permanently and is to be removed.
var ErrGone = errors.New("the subscription has ended")

// RetryError means that the push service accepts nothing now: it is overloaded or
// broken, or does not answer.
type RetryError struct {
	Host   string
	Status int           // 0 when it did not answer
	After  time.Duration // when to try again, 0 when the service does not say; a day at most
	Err    error         // why it did not answer
}

// Unwrap returns why the service did not answer; nil when it did.
func (e *RetryError) Unwrap() error { return e.Err }

// Error returns the host of the service and what it answered.
func (e *RetryError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the push service %s does not answer: %v", e.Host, e.Err)
	}
	s := fmt.Sprintf("the push service %s accepts nothing now (status %d)", e.Host, e.Status)
	if e.After > 0 {
		s += fmt.Sprintf("; try again in %v", e.After)
	}
	return s
}

// Keys are the key pair by which push services identify the installation (VAPID), in
// base64url without padding: an uncompressed P-256 point and its scalar. Subscriptions
// are bound to them: with new keys, every device must subscribe again.
type Keys struct{ Public, Private string }

// GenerateKeys returns a new key pair.
func GenerateKeys() (Keys, error) {
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return Keys{}, fmt.Errorf("generate a key for Web Push: %w", err)
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

// Config is the configuration of a [Sender].
type Config struct {
	Keys Keys
	// Contact is a mailto: or https: URL by which the operators of push services
	// reach the operator of the installation.
	Contact string
	// AllowPrivate lets the sender connect to every address and port, with and
	// without TLS: for tests, and for installations with their own push service in
	// a private network.
	AllowPrivate bool
	// Timeout is the time that one send may take; 0 means 10 s.
	Timeout time.Duration
}

// Validate returns an error when the configuration is invalid.
func (c Config) Validate() error {
	if err := c.Keys.check(); err != nil {
		return err
	}
	if c.Timeout < 0 {
		return fmt.Errorf("the timeout %v of Web Push is negative", c.Timeout)
	}
	return CheckContact(c.Contact)
}

// CheckContact returns nil when a contact is of a form that push services accept.
func CheckContact(contact string) error {
	const want = "the contact %q of Web Push is neither mailto: with an address nor an https: URL"
	switch address, isMail := strings.CutPrefix(contact, "mailto:"); {
	case isMail:
		// Only the address: with a display name, services refuse every push.
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
	// Topic makes it replace a notification with the same topic that was not delivered
	// to the device yet. At most MaxTopic letters, digits, - and _; empty means none.
	Topic string
	// TTL is how long the service keeps it for a device that is offline, in whole
	// seconds; 0 means that it is delivered now or never.
	TTL time.Duration
	// Urgency is very-low, low, normal or high; empty means normal.
	Urgency string
}

func (n Notification) check() error {
	if len(n.Payload) > MaxPayload {
		return fmt.Errorf("the notification has %d bytes, more than %d", len(n.Payload), MaxPayload)
	}
	if len(n.Topic) > MaxTopic || strings.Trim(n.Topic, base64urlAlphabet) != "" {
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

const base64urlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Sender sends notifications. It is safe for concurrent use.
type Sender struct {
	cfg       Config
	contact   string // as upstream expects it
	transport *http.Transport
}

// New returns a sender.
func New(cfg Config) (*Sender, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	dialer := &net.Dialer{KeepAlive: 30 * time.Second}
	if !cfg.AllowPrivate {
		// Called with the address, after the name was resolved: DNS rebinding is
		// useless.
		dialer.Control = func(network, address string, _ syscall.RawConn) error {
			return checkDial(network, address)
		}
	}
	return &Sender{
		cfg:     cfg,
		contact: strings.TrimPrefix(cfg.Contact, "mailto:"),
		transport: &http.Transport{
			Proxy:                  nil, // a proxy would connect to addresses that are not checked
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

// PublicKey returns the key that a browser needs to subscribe.
func (s *Sender) PublicKey() string { return s.cfg.Keys.Public }

// Close closes idle connections.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }

// Check is [Subscription.Check], but allows private endpoints if the configuration does.
func (s *Sender) Check(sub Subscription) error { return sub.check(s.cfg.AllowPrivate) }

// Send sends the notification to the push service of the device. When it returns nil,
// the service has accepted it; whether the device receives it is not known. It fails with
// [ErrGone], a [*RetryError], or an error that a retry will hardly change.
func (s *Sender) Send(ctx context.Context, sub Subscription, n Notification) error {
	if err := n.check(); err != nil {
		return err
	}
	// The API has checked it, but a stored subscription may be older than a rule.
	if err := s.Check(sub); err != nil {
		return fmt.Errorf("send a notification: %w", err)
	}
	host := sub.Host()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	// Clipped: upstream pads the payload within its spare capacity, which several sends
	// may share.
	response, err := upstream.SendNotificationWithContext(ctx, slices.Clip(n.Payload), &upstream.Subscription{
		Endpoint: sub.Endpoint,
		Keys:     upstream.Keys{P256dh: sub.P256DH, Auth: sub.Auth},
	}, &upstream.Options{
		HTTPClient:      httpClient{s.transport},
		Subscriber:      s.contact,
		Topic:           n.Topic,
		TTL:             int(n.TTL / time.Second),
		Urgency:         upstream.Urgency(n.Urgency),
		VAPIDPublicKey:  s.cfg.Keys.Public,
		VAPIDPrivateKey: s.cfg.Keys.Private,
	})
	var failed *transportError
	switch {
	case errors.As(err, &failed) && !errors.Is(err, errForbiddenAddress):
		return &RetryError{Host: host, Err: failed.error}
	case err != nil:
		return fmt.Errorf("push to %s: %w", host, err)
	}
	defer func() { _ = response.Body.Close() }() // only the status matters
	// A connection can be reused when the response was read to its end.
	_, _ = io.CopyN(io.Discard, response.Body, maxResponseBody)
	return responseError(host, response)
}

// responseError returns nil when the service has accepted the push.
func responseError(host string, response *http.Response) error {
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusNotFound || status == http.StatusGone:
		return fmt.Errorf("push to %s: %w", host, ErrGone)
	case status == http.StatusTooManyRequests || status >= 500:
		return &RetryError{Host: host, Status: status, After: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("push to %s: the service does not accept the installation's key or contact (status %d)", host, status)
	default:
		return fmt.Errorf("push to %s: the service answered with status %d", host, status)
	}
}

// retryAfter parses a Retry-After header: seconds, or a date. It returns 0 when the
// header is missing or invalid, and maxRetryAfter at most.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// httpClient sends a request as it is: unlike http.Client it follows no redirect and
// has no URL in its errors.
type httpClient struct{ transport *http.Transport }

func (c httpClient) Do(r *http.Request) (*http.Response, error) {
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, &transportError{err}
	}
	return response, nil
}

// transportError is an error of the connection to a service, which may be temporary.
type transportError struct{ error }

func (e *transportError) Unwrap() error { return e.error }
