package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"net/netip"
	"net/url"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const (
	maxEndpoint = 2048
	pointSize   = 65 // an uncompressed point of P-256
	authSize    = 16
)

// Subscription is the push endpoint of one device and the keys to encrypt for it, as
// its browser sent them. The keys are base64url without padding.
type Subscription struct {
	Endpoint     string
	P256DH, Auth string
}

// Host returns the host of the endpoint, which is the only part of it that may be
// logged. It is empty when the endpoint is no URL.
func (s Subscription) Host() string {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}

// Check returns nil when the subscription may come from a browser. Its errors are
// [*chat.Error].
func (s Subscription) Check() error { return s.check(false) }

func (s Subscription) check(private bool) error {
	if err := checkEndpoint(s.Endpoint, private); err != nil {
		return err
	}
	point, err := decodeKey("p256dh", s.P256DH, pointSize)
	if err != nil {
		return err
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return chat.Refuse(chat.CodeInvalid, "p256dh", "the key is not an uncompressed point of the curve P-256")
	}
	_, err = decodeKey("auth", s.Auth, authSize)
	return err
}

func checkEndpoint(endpoint string, private bool) error {
	refuse := func(text string) error { return chat.Refuse(chat.CodeInvalid, "endpoint", "%s", text) }
	if len(endpoint) > maxEndpoint {
		return chat.Refuse(chat.CodeInvalid, "endpoint", "the endpoint is longer than %d bytes", maxEndpoint)
	}
	for i := range len(endpoint) {
		if endpoint[i] <= ' ' || endpoint[i] > '~' {
			return refuse("the endpoint has characters that a URL does not have")
		}
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return refuse("the endpoint is not a URL with a host")
	}
	defaultPort := "443"
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && private:
		defaultPort = "80"
	default:
		return refuse("the endpoint is not an https URL")
	}
	if u.User != nil {
		return refuse("the endpoint has a user name in it")
	}
	if strings.Contains(endpoint, "#") {
		return refuse("the endpoint has a fragment")
	}
	// The origin is signed as it is written, and services compare it as text.
	if strings.ToLower(u.Host) != u.Host || strings.HasSuffix(u.Host, ":") || u.Port() == defaultPort {
		return refuse("the endpoint's host is not written as browsers write it: in small letters, without the usual port")
	}
	if private {
		return nil
	}
	if u.Port() != "" {
		return refuse("the endpoint has a port of its own")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !isPublic(ip) {
		return refuse("the endpoint's address is not public")
	}
	return nil
}

func decodeKey(field, text string, size int) ([]byte, error) {
	enc := base64.RawURLEncoding.Strict()
	if len(text) == enc.EncodedLen(size) {
		// Decoding skips line breaks; the length reveals them.
		if b, err := enc.DecodeString(text); err == nil && len(b) == size {
			return b, nil
		}
	}
	return nil, chat.Refuse(chat.CodeInvalid, field, "the key is not %d bytes in base64url without padding", size)
}
