package webpush

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for _, c := range []struct {
		address string
		ok      bool
	}{
		{"8.8.8.8:443", true},
		{"142.250.0.1:443", true},
		{"100.63.255.255:443", true},
		{"100.128.0.0:443", true},
		{"172.15.255.255:443", true},
		{"172.32.0.0:443", true},
		{"[2607:f8b0:4005:80a::200e]:443", true},
		{"[2a00:1450:4001:82a::200a]:443", true},

		{"8.8.8.8:80", false},
		{"8.8.8.8:8443", false},
		{"8.8.8.8:0", false},
		{"[2607:f8b0:4005:80a::200e]:22", false},
		{"127.0.0.1:443", false},
		{"127.255.255.254:443", false},
		{"[::1]:443", false},
		{"0.0.0.0:443", false},
		{"0.1.2.3:443", false},
		{"[::]:443", false},
		{"10.0.0.1:443", false},
		{"10.255.255.255:443", false},
		{"172.16.0.1:443", false},
		{"172.31.255.255:443", false},
		{"192.168.1.1:443", false},
		{"[fc00::1]:443", false},
		{"[fd12:3456::1]:443", false},
		{"169.254.1.1:443", false},
		{"[fe80::1]:443", false},
		{"[fe80::1%lo]:443", false},
		{"[2607:f8b0:4005:80a::200e%lo]:443", false},
		{"[fec0::1]:443", false},
		{"100.64.0.1:443", false},
		{"100.127.255.255:443", false},
		{"169.254.169.254:443", false},
		{"100.100.100.200:443", false},
		{"168.63.129.16:443", false},
		{"192.0.0.192:443", false},
		{"[fd00:ec2::254]:443", false},
		{"224.0.0.1:443", false},
		{"239.255.255.255:443", false},
		{"[ff02::1]:443", false},
		{"255.255.255.255:443", false},
		{"240.0.0.1:443", false},
		{"192.0.2.1:443", false},
		{"198.18.0.1:443", false},
		{"198.51.100.1:443", false},
		{"203.0.113.1:443", false},
		{"[::ffff:127.0.0.1]:443", false},
		{"[::ffff:10.0.0.1]:443", false},
		{"[::ffff:8.8.8.8]:443", false},
		{"[::127.0.0.1]:443", false},
		{"[64:ff9b::7f00:1]:443", false},
		{"[64:ff9b::a9fe:a9fe]:443", false},
		{"[64:ff9b::808:808]:443", false},
		{"[64:ff9b:1::1]:443", false},
		{"[100::1]:443", false},
		{"[2001::1]:443", false},
		{"[2001:db8::1]:443", false},
		{"[2002:7f00:1::]:443", false},
		{"[3fff::1]:443", false},
		{"localhost:443", false},
		{"8.8.8.8", false},
		{"", false},
	} {
		network := "tcp4"
		if strings.HasPrefix(c.address, "[") {
			network = "tcp6"
		}
		if err := checkDial(network, c.address); (err == nil) != c.ok || (err != nil && !errors.Is(err, errForbiddenAddress)) {
			t.Errorf("%s: %v", c.address, err)
		}
	}
	if err := checkDial("udp4", "8.8.8.8:443"); !errors.Is(err, errForbiddenAddress) {
		t.Errorf("UDP: %v", err)
	}
}

// Check accepts the name; the address that it resolves to is not public.
func TestNamesAreCheckedAsTheyResolve(t *testing.T) {
	keys, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []bool{false, true} {
		s, err := New(Config{Keys: keys, Contact: "mailto:ops@chat.example", AllowPrivate: private})
		if err != nil {
			t.Fatal(err)
		}
		// The public key of a pair is a point like a device's.
		sub := Subscription{Endpoint: "https://localhost/secret", P256DH: keys.Public, Auth: "AAAAAAAAAAAAAAAAAAAAAA"}
		err = s.Send(t.Context(), sub, Notification{})
		if errors.Is(err, errForbiddenAddress) == private {
			t.Errorf("AllowPrivate %t: %v", private, err)
		}
		// An address that is not allowed does not become so by waiting.
		if retry := (*RetryError)(nil); errors.As(err, &retry) != private {
			t.Errorf("AllowPrivate %t: %v", private, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error gives the endpoint away: %v", err)
		}
		s.Close()
	}
}

// The check sits where every connection passes, not where names are resolved.
func TestNothingIsReachedOnALocalPort(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	keys, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Keys: keys, Contact: "mailto:ops@chat.example"})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.transport.DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, errForbiddenAddress) {
		t.Errorf("connected: %v, %v", c, err)
	}
	if s.transport.Proxy != nil {
		t.Error("a proxy would connect in our place")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                     0,
		"0":                    0,
		"120":                  2 * time.Minute,
		"-5":                   0,
		"soon":                 0,
		"86401":                24 * time.Hour,
		"9223372036854775807":  24 * time.Hour,
		"99999999999999999999": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		now.Add(100 * time.Hour).Format(http.TimeFormat):  24 * time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}
