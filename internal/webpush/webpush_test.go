package webpush_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/webpush"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newConfig(t *testing.T) webpush.Config {
	t.Helper()
	keys, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	return webpush.Config{Keys: keys, Contact: "mailto:ops@chat.example", AllowPrivate: true, Timeout: 20 * time.Second}
}

func newSender(t *testing.T, cfg webpush.Config) *webpush.Sender {
	t.Helper()
	s, err := webpush.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestNotificationsArriveAsTheyWereSent(t *testing.T) {
	service := webpushtest.New(t)
	for _, contact := range []string{"mailto:ops@chat.example", "https://chat.example/contact"} {
		cfg := newConfig(t)
		cfg.Contact = contact
		s := newSender(t, cfg)
		sub, device := service.Subscribe()
		device.Restrict(s.PublicKey())
		sent := []webpush.Notification{
			{Payload: []byte(`{"title":"飛脚"}`), Topic: "c-1_A", TTL: 36 * time.Hour, Urgency: "high"},
			{Payload: nil, TTL: 0, Urgency: "very-low"},
			{Payload: []byte("ends in zeroes\x00\x00"), TTL: webpush.MaxTTL},
			{Payload: bytes.Repeat([]byte{0xff}, webpush.MaxPayload), Topic: strings.Repeat("x", webpush.MaxTopic), Urgency: "low"},
		}
		for _, n := range sent {
			if err := s.Send(t.Context(), sub, n); err != nil {
				t.Fatalf("%v; refused: %v", err, service.Refused())
			}
		}
		got := device.Wait(t, len(sent))
		if len(got) != len(sent) {
			t.Fatalf("%d of %d arrived", len(got), len(sent))
		}
		for i, n := range sent {
			m := got[i]
			if !bytes.Equal(m.Payload, n.Payload) || m.Topic != n.Topic || m.TTL != n.TTL || m.Urgency != n.Urgency {
				t.Errorf("sent %q %q %v %q, got %q %q %v %q", n.Payload, n.Topic, n.TTL, n.Urgency, m.Payload, m.Topic, m.TTL, m.Urgency)
			}
		}
	}
}

func TestTopicReplacesEarlierMessage(t *testing.T) {
	service := webpushtest.New(t)
	s := newSender(t, newConfig(t))
	sub, device := service.Subscribe()
	for _, n := range []webpush.Notification{
		{Payload: []byte("1"), Topic: "a"},
		{Payload: []byte("2"), Topic: "b"},
		{Payload: []byte("3"), Topic: "a"},
		{Payload: []byte("4")},
		{Payload: []byte("5")},
	} {
		if err := s.Send(t.Context(), sub, n); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	for _, m := range device.Wait(t, 5) {
		got += string(m.Payload)
	}
	if got != "2345" {
		t.Errorf("the device holds %s", got)
	}
}

func TestInvalidNotificationsAreNotSent(t *testing.T) {
	service := webpushtest.New(t)
	s := newSender(t, newConfig(t))
	sub, device := service.Subscribe()
	for name, n := range map[string]webpush.Notification{
		"oversize":      {Payload: make([]byte, webpush.MaxPayload+1)},
		"long topic":    {Topic: strings.Repeat("x", webpush.MaxTopic+1)},
		"strange topic": {Topic: "a b"},
		"header":        {Topic: "a\r\nX: y"},
		"negative TTL":  {TTL: -time.Second},
		"endless TTL":   {TTL: webpush.MaxTTL + time.Second},
		"urgency":       {Urgency: "very-high"},
	} {
		if err := s.Send(t.Context(), sub, n); err == nil {
			t.Errorf("%s: sent", name)
		}
	}
	if device.PushCount() != 0 || service.Refused() != nil {
		t.Errorf("%d pushes, refused: %v", device.PushCount(), service.Refused())
	}
}

func TestAnswers(t *testing.T) {
	service := webpushtest.New(t)
	s := newSender(t, newConfig(t))
	sub, device := service.Subscribe()
	for _, c := range []struct {
		status int
		after  time.Duration
		gone   bool
		retry  bool
	}{
		{status: 404, gone: true},
		{status: 410, gone: true},
		{status: 429, after: 7 * time.Second, retry: true},
		{status: 429, retry: true},
		{status: 500, retry: true},
		{status: 503, after: time.Minute, retry: true},
		{status: 400},
		{status: 403},
		{status: 413},
		{status: 307},
	} {
		service.RespondWith(c.status, c.after)
		err := s.Send(t.Context(), sub, webpush.Notification{})
		if err == nil {
			t.Errorf("%d: sent", c.status)
			continue
		}
		if errors.Is(err, webpush.ErrGone) != c.gone {
			t.Errorf("%d: %v", c.status, err)
		}
		var retry *webpush.RetryError
		if errors.As(err, &retry) != c.retry || (c.retry && (retry.After != c.after || retry.Status != c.status)) {
			t.Errorf("%d: %v", c.status, err)
		}
		assertOnlyHost(t, err, sub)
	}
	service.RespondWith(0, 0)
	if err := s.Send(t.Context(), sub, webpush.Notification{}); err != nil {
		t.Error(err)
	}
	device.Expire()
	if err := s.Send(t.Context(), sub, webpush.Notification{}); !errors.Is(err, webpush.ErrGone) {
		t.Errorf("the subscription has ended: %v", err)
	}
	if device.PushCount() != 1 {
		t.Errorf("%d pushes", device.PushCount())
	}
}

// assertOnlyHost checks that the error contains the host of the endpoint and nothing of
// its path.
func assertOnlyHost(t *testing.T, err error, sub webpush.Subscription) {
	t.Helper()
	_, id, _ := strings.Cut(sub.Endpoint, "/push/")
	if strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), sub.Host()) {
		t.Errorf("the error names more or less than the host: %v", err)
	}
}

// A payload may go to several devices at once.
func TestThePayloadIsNotWrittenTo(t *testing.T) {
	service := webpushtest.New(t)
	s := newSender(t, newConfig(t))
	sub, device := service.Subscribe()
	whole := bytes.Repeat([]byte("x"), webpush.MaxPayload)
	if err := s.Send(t.Context(), sub, webpush.Notification{Payload: whole[:5]}); err != nil {
		t.Fatal(err)
	}
	if strings.Trim(string(whole), "x") != "" || string(device.Received()[0].Payload) != "xxxxx" {
		t.Errorf("it was: %q", whole)
	}
}

func TestASubscriptionOfAnotherKeyIsRefused(t *testing.T) {
	service := webpushtest.New(t)
	ours, theirs := newSender(t, newConfig(t)), newSender(t, newConfig(t))
	sub, device := service.Subscribe()
	device.Restrict(theirs.PublicKey())
	if err := ours.Send(t.Context(), sub, webpush.Notification{}); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("sent with another's key: %v", err)
	}
}

// subscribeAt returns a subscription of the service whose endpoint is at server.
func subscribeAt(server *httptest.Server, service *webpushtest.Service) webpush.Subscription {
	sub, _ := service.Subscribe()
	sub.Endpoint = strings.Replace(sub.Endpoint, service.URL, server.URL, 1)
	return sub
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	service := webpushtest.New(t)
	s := newSender(t, newConfig(t))
	for _, status := range []int{301, 302, 303, 307, 308} {
		var reached atomic.Bool
		mux := http.NewServeMux()
		mux.HandleFunc("/inside", func(http.ResponseWriter, *http.Request) { reached.Store(true) })
		mux.HandleFunc("/push/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/inside", status) })
		server := httptest.NewServer(mux)
		sub := subscribeAt(server, service)
		err := s.Send(t.Context(), sub, webpush.Notification{})
		server.Close()
		if err == nil || reached.Load() {
			t.Errorf("%d: %v, followed: %t", status, err, reached.Load())
		} else {
			assertOnlyHost(t, err, sub)
		}
	}
}

func TestTimeout(t *testing.T) {
	service := webpushtest.New(t)
	release, asked := make(chan struct{}), make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	defer server.Close()
	defer close(release)
	sub := subscribeAt(server, service)

	cfg := newConfig(t)
	cfg.Timeout = 100 * time.Millisecond
	err := newSender(t, cfg).Send(t.Context(), sub, webpush.Notification{})
	var retry *webpush.RetryError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &retry) {
		t.Fatalf("after the timeout: %v", err)
	}
	assertOnlyHost(t, err, sub)
	<-asked

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	err = newSender(t, newConfig(t)).Send(ctx, sub, webpush.Notification{})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("after the caller left: %v", err)
	}
	assertOnlyHost(t, err, sub)
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	service := webpushtest.New(t)
	var written atomic.Int64
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		w.WriteHeader(http.StatusCreated)
		for written.Load() < 256<<20 {
			n, err := w.Write(make([]byte, 32<<10))
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	if err := newSender(t, newConfig(t)).Send(t.Context(), subscribeAt(server, service), webpush.Notification{}); err != nil {
		t.Error(err)
	}
	<-done
	if n := written.Load(); n >= 256<<20 {
		t.Errorf("read all %d bytes", n)
	}
}

func TestUnreachableService(t *testing.T) {
	service := webpushtest.New(t)
	server := httptest.NewServer(http.NotFoundHandler())
	sub := subscribeAt(server, service)
	server.Close()
	err := newSender(t, newConfig(t)).Send(t.Context(), sub, webpush.Notification{})
	if err == nil || errors.Is(err, webpush.ErrGone) {
		t.Fatalf("%v", err)
	}
	assertOnlyHost(t, err, sub)
}

func TestPlainHTTPIsForPrivateNetworks(t *testing.T) {
	service := webpushtest.New(t)
	sub, device := service.Subscribe()
	cfg := newConfig(t)
	if err := newSender(t, cfg).Check(sub); err != nil {
		t.Errorf("allowed: %v", err)
	}
	cfg.AllowPrivate = false
	s := newSender(t, cfg)
	if err := s.Check(sub); err == nil {
		t.Error("not allowed, and accepted")
	}
	if err := s.Send(t.Context(), sub, webpush.Notification{}); err == nil || device.PushCount() != 0 {
		t.Errorf("not allowed, and sent: %v", err)
	}
}

func TestConfig(t *testing.T) {
	good := newConfig(t)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	other, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	if other == good.Keys {
		t.Error("the same keys twice")
	}
	for name, change := range map[string]func(*webpush.Config){
		"no keys":            func(c *webpush.Config) { c.Keys = webpush.Keys{} },
		"keys of two pairs":  func(c *webpush.Config) { c.Keys.Public = other.Public },
		"no public key":      func(c *webpush.Config) { c.Keys.Public = "" },
		"not base64url":      func(c *webpush.Config) { c.Keys.Private = "?" },
		"short private key":  func(c *webpush.Config) { c.Keys.Private = c.Keys.Private[:20] },
		"no contact":         func(c *webpush.Config) { c.Contact = "" },
		"bare address":       func(c *webpush.Config) { c.Contact = "ops@chat.example" },
		"mailto without @":   func(c *webpush.Config) { c.Contact = "mailto:ops" },
		"mailto with a name": func(c *webpush.Config) { c.Contact = "mailto:Ops <ops@chat.example>" },
		"http contact":       func(c *webpush.Config) { c.Contact = "http://chat.example" },
		"negative timeout":   func(c *webpush.Config) { c.Timeout = -1 },
	} {
		cfg := good
		change(&cfg)
		_, err := webpush.New(cfg)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if cfg.Keys.Private != "" && strings.Contains(err.Error(), cfg.Keys.Private) && name != "not base64url" {
			t.Errorf("%s: the error gives the private key away: %v", name, err)
		}
	}
}

func TestCertificateIsVerified(t *testing.T) {
	service := webpushtest.New(t)
	var proto atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		service.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are meant to fail
	server.StartTLS()
	defer server.Close()
	service.URL = server.URL
	sub, device := service.Subscribe()

	if err := newSender(t, newConfig(t)).Send(t.Context(), sub, webpush.Notification{}); err == nil || device.PushCount() != 0 {
		t.Errorf("sent to a service with an unknown certificate: %v", err)
	}
	s := newSender(t, newConfig(t))
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s.TrustRoots(roots)
	for range 3 {
		if err := s.Send(t.Context(), sub, webpush.Notification{}); err != nil {
			t.Fatalf("%v; refused: %v", err, service.Refused())
		}
	}
	if device.PushCount() != 3 || proto.Load() != "HTTP/2.0" {
		t.Errorf("%d pushes by %v", device.PushCount(), proto.Load())
	}
}
