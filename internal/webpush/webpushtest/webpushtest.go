// Package webpushtest is a push service for tests, with its devices. It is as strict as
// the strictest of the real services: it verifies the sender's signature (RFC 8292),
// decrypts with the device's key (RFC 8291), and enforces RFC 8030. It shares no code
// with the sender.
package webpushtest

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

const maxBody = 4096

var (
	topics    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	urgencies = []string{"", "very-low", "low", "normal", "high"}
)

// Service is a push service on a port of 127.0.0.1, without TLS: senders need
// AllowPrivate.
type Service struct {
	URL string // the origin

	mu         sync.Mutex
	devices    map[string]*Device
	status     int
	retryAfter time.Duration
	refused    []error
}

// New starts a service that ends with the test.
func New(tb testing.TB) *Service {
	tb.Helper()
	s := &Service{devices: map[string]*Device{}}
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Message is a notification that a device received, decrypted.
type Message struct {
	Payload []byte
	Topic   string
	TTL     time.Duration
	Urgency string
}

// Device is a browser with a subscription.
type Device struct {
	service *Service
	key     *ecdh.PrivateKey
	auth    []byte

	// Guarded by the service's mu.
	senderKey string
	expired   bool
	messages  []Message
	pushCount int
	changed   chan struct{} // closed at the next push
}

// Subscribe returns a new device and its subscription.
func (s *Service) Subscribe() (webpush.Subscription, *Device) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	d := &Device{service: s, key: key, auth: make([]byte, 16), changed: make(chan struct{})}
	_, _ = rand.Read(d.auth) // never fails
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[id] = d
	enc := base64.RawURLEncoding
	return webpush.Subscription{
		Endpoint: s.URL + "/push/" + id,
		P256DH:   enc.EncodeToString(key.PublicKey().Bytes()),
		Auth:     enc.EncodeToString(d.auth),
	}, d
}

// RespondWith makes the service answer every push with a status from now on, and with a
// Retry-After header unless retryAfter is 0. Status 0 restores the normal behaviour.
func (s *Service) RespondWith(status int, retryAfter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.retryAfter = status, retryAfter
}

// Refused returns the reasons for which pushes were refused.
func (s *Service) Refused() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Restrict makes the subscription accept only pushes of a sender with this public key,
// as browsers do.
func (d *Device) Restrict(publicKey string) {
	d.service.mu.Lock()
	defer d.service.mu.Unlock()
	d.senderKey = publicKey
}

// Expire ends the subscription: the service answers 410 Gone from now on.
func (d *Device) Expire() {
	d.service.mu.Lock()
	defer d.service.mu.Unlock()
	d.expired = true
}

// Received returns the messages that the service holds for the device, oldest first. A
// message replaces an earlier one with its topic.
func (d *Device) Received() []Message {
	d.service.mu.Lock()
	defer d.service.mu.Unlock()
	return slices.Clone(d.messages)
}

// PushCount returns how many pushes the service accepted, replaced ones included.
func (d *Device) PushCount() int {
	d.service.mu.Lock()
	defer d.service.mu.Unlock()
	return d.pushCount
}

// Wait waits until the service has accepted n pushes for the device, and returns the
// messages that it holds then.
func (d *Device) Wait(tb testing.TB, n int) []Message {
	tb.Helper()
	timeout := time.After(time.Minute)
	for {
		d.service.mu.Lock()
		messages, pushes, changed := slices.Clone(d.messages), d.pushCount, d.changed
		refused := slices.Clone(d.service.refused)
		d.service.mu.Unlock()
		if pushes >= n {
			return messages
		}
		select {
		case <-changed:
		case <-timeout:
			tb.Fatalf("%d of %d pushes came; refused: %v", pushes, n, refused)
		}
	}
}

// statusError is the violation of a rule, with the status to answer.
type statusError struct {
	status int
	err    error
}

func (f *statusError) Error() string { return f.err.Error() }

func statusErrorf(status int, format string, args ...any) error {
	return &statusError{status, fmt.Errorf(format, args...)}
}

// ServeHTTP receives a push.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return // the sender closed the connection
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status != 0 {
		if s.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(s.retryAfter/time.Second)))
		}
		w.WriteHeader(s.status)
		return
	}
	if err := s.accept(r, body); err != nil {
		s.refused = append(s.refused, err)
		status := http.StatusBadRequest
		var f *statusError
		if errors.As(err, &f) {
			status = f.status
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("TTL", r.Header.Get("TTL"))
	w.Header().Set("Location", s.URL+"/message/"+rand.Text())
	w.WriteHeader(http.StatusCreated)
}

// accept checks a push and stores its message. mu is held.
func (s *Service) accept(r *http.Request, body []byte) error {
	if r.Method != http.MethodPost {
		return statusErrorf(http.StatusMethodNotAllowed, "the method is %s", r.Method)
	}
	const prefix = "/push/"
	if len(r.URL.Path) <= len(prefix) || r.URL.RawQuery != "" {
		return statusErrorf(http.StatusNotFound, "there is no subscription at %s", r.URL)
	}
	d := s.devices[r.URL.Path[len(prefix):]]
	switch {
	case d == nil:
		return statusErrorf(http.StatusNotFound, "there is no subscription at %s", r.URL)
	case d.expired:
		return statusErrorf(http.StatusGone, "the subscription has ended")
	case len(body) > maxBody:
		return statusErrorf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", maxBody)
	}
	key, err := verifyVAPID(r.Header.Get("Authorization"), s.URL, time.Now())
	if err != nil {
		return statusErrorf(http.StatusUnauthorized, "the authorization: %w", err)
	}
	if d.senderKey != "" && d.senderKey != key {
		return statusErrorf(http.StatusForbidden, "the subscription is another sender's")
	}
	ttl, err := strconv.ParseUint(r.Header.Get("TTL"), 10, 31)
	if err != nil {
		return statusErrorf(http.StatusBadRequest, "the TTL is %q", r.Header.Get("TTL"))
	}
	m := Message{TTL: time.Duration(ttl) * time.Second, Urgency: r.Header.Get("Urgency"), Topic: r.Header.Get("Topic")}
	if len(r.Header.Values("Topic")) > 0 && !topics.MatchString(m.Topic) {
		return statusErrorf(http.StatusBadRequest, "the topic is %q", m.Topic)
	}
	if !slices.Contains(urgencies, m.Urgency) {
		return statusErrorf(http.StatusBadRequest, "the urgency is %q", m.Urgency)
	}
	if e := r.Header.Get("Content-Encoding"); e != "aes128gcm" {
		return statusErrorf(http.StatusBadRequest, "the content encoding is %q", e)
	}
	// A real service cannot decrypt it, and its device would drop it silently.
	if m.Payload, err = decrypt(d.key, d.auth, body); err != nil {
		return statusErrorf(http.StatusBadRequest, "the content: %w", err)
	}
	if m.Topic != "" {
		d.messages = slices.DeleteFunc(d.messages, func(old Message) bool { return old.Topic == m.Topic })
	}
	d.messages = append(d.messages, m)
	d.pushCount++
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}
