package webpush_test

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// The keys of RFC 8291, appendix A.
const (
	goodPoint = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	goodAuth  = "BTBZMqHH6r4Tts7J_aSIgg"
)

func TestCheck(t *testing.T) {
	const endpoint = "https://push.example/send/abc"
	offCurve := goodPoint[:len(goodPoint)-2] + "iA"
	for _, c := range []struct {
		name                  string
		endpoint, point, auth string
		field                 string // refused for it, unless empty
	}{
		{"Firefox", "https://updates.push.services.mozilla.com/wpush/v2/gAAA-_=", goodPoint, goodAuth, ""},
		{"Chromium", "https://fcm.googleapis.com/fcm/send/dZ:APA91b-_", goodPoint, goodAuth, ""},
		{"Edge", "https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%2bx%3d%3d", goodPoint, goodAuth, ""},
		{"public address", "https://8.8.8.8/x", goodPoint, goodAuth, ""},
		{"as long as may be", "https://push.example/" + strings.Repeat("x", 2048-21), goodPoint, goodAuth, ""},

		{"too long", "https://push.example/" + strings.Repeat("x", 2048-20), goodPoint, goodAuth, "endpoint"},
		{"empty", "", goodPoint, goodAuth, "endpoint"},
		{"no TLS", "http://push.example/x", goodPoint, goodAuth, "endpoint"},
		{"file", "file:///etc/passwd", goodPoint, goodAuth, "endpoint"},
		{"no scheme", "//push.example/x", goodPoint, goodAuth, "endpoint"},
		{"opaque", "https:push.example", goodPoint, goodAuth, "endpoint"},
		{"no host", "https:///x", goodPoint, goodAuth, "endpoint"},
		{"only a port", "https://:443/x", goodPoint, goodAuth, "endpoint"},
		{"user", "https://a@push.example/x", goodPoint, goodAuth, "endpoint"},
		{"user and password", "https://a:b@push.example/x", goodPoint, goodAuth, "endpoint"},
		{"fragment", endpoint + "#x", goodPoint, goodAuth, "endpoint"},
		{"empty fragment", endpoint + "#", goodPoint, goodAuth, "endpoint"},
		{"space", "https://push.example/a b", goodPoint, goodAuth, "endpoint"},
		{"line break", "https://push.example/a\r\nX: y", goodPoint, goodAuth, "endpoint"},
		{"not ASCII", "https://プッシュ.example/x", goodPoint, goodAuth, "endpoint"},
		{"capitals", "https://Push.example/x", goodPoint, goodAuth, "endpoint"},
		{"usual port", "https://push.example:443/x", goodPoint, goodAuth, "endpoint"},
		{"other port", "https://push.example:8443/x", goodPoint, goodAuth, "endpoint"},
		{"empty port", "https://push.example:/x", goodPoint, goodAuth, "endpoint"},
		{"loopback", "https://127.0.0.1/x", goodPoint, goodAuth, "endpoint"},
		{"loopback 6", "https://[::1]/x", goodPoint, goodAuth, "endpoint"},
		{"mapped", "https://[::ffff:10.0.0.1]/x", goodPoint, goodAuth, "endpoint"},
		{"metadata", "https://169.254.169.254/latest", goodPoint, goodAuth, "endpoint"},
		{"zone", "https://[fe80::1%25lo]/x", goodPoint, goodAuth, "endpoint"},

		{"no point", endpoint, "", goodAuth, "p256dh"},
		{"point off the curve", endpoint, offCurve, goodAuth, "p256dh"},
		{"compressed point", endpoint, "Ai" + goodPoint[2:44], goodAuth, "p256dh"},
		{"hybrid point", endpoint, "Bi" + goodPoint[2:], goodAuth, "p256dh"},
		{"zero", endpoint, strings.Repeat("A", 87), goodAuth, "p256dh"},
		{"padded point", endpoint, goodPoint + "=", goodAuth, "p256dh"},
		{"standard base64", endpoint, strings.NewReplacer("-", "+", "_", "/").Replace(goodPoint), goodAuth, "p256dh"},
		{"point with a line break", endpoint, goodPoint[:86] + "\n", goodAuth, "p256dh"},
		{"point in two lines", endpoint, goodPoint[:40] + "\n" + goodPoint[40:], goodAuth, "p256dh"},

		{"no auth", endpoint, goodPoint, "", "auth"},
		{"short auth", endpoint, goodPoint, goodAuth[:21], "auth"},
		{"long auth", endpoint, goodPoint, goodAuth + "A", "auth"},
		{"padded auth", endpoint, goodPoint, goodAuth + "==", "auth"},
		{"auth with loose bits", endpoint, goodPoint, goodAuth[:21] + "h", "auth"},
		{"auth with a line break", endpoint, goodPoint, goodAuth[:21] + "\n", "auth"},
		{"auth with two line breaks", endpoint, goodPoint, goodAuth[:19] + "A\n\n", "auth"},
		{"auth in two lines", endpoint, goodPoint, goodAuth[:8] + "\n" + goodAuth[8:], "auth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := webpush.Subscription{Endpoint: c.endpoint, P256DH: c.point, Auth: c.auth}.Check()
			if c.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var refusal *chat.Error
			if !errors.As(err, &refusal) || refusal.Code != chat.CodeInvalid || refusal.Field != c.field {
				t.Fatalf("%v instead of a refusal of %s", err, c.field)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("https://push.example/send/abc", goodPoint, goodAuth)
	f.Add("https://a:b@push.example:443/#x", goodPoint, goodAuth)
	f.Add("https://[::ffff:127.0.0.1]/", goodPoint, goodAuth)
	f.Add("http://push.example", "", "==")
	f.Fuzz(func(t *testing.T, endpoint, point, auth string) {
		err := webpush.Subscription{Endpoint: endpoint, P256DH: point, Auth: auth}.Check()
		if err != nil {
			if refusal, ok := err.(*chat.Error); !ok || refusal.Field == "" || refusal.Text == "" {
				t.Fatalf("refused by %#v", err)
			}
			return
		}
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Port() != "" || len(endpoint) > 2048 {
			t.Fatalf("took the endpoint %q: %v", endpoint, err)
		}
		p, err := base64.RawURLEncoding.DecodeString(point)
		if err != nil || len(p) != 65 {
			t.Fatalf("took the point %q: %v", point, err)
		}
		if _, err := ecdh.P256().NewPublicKey(p); err != nil {
			t.Fatalf("took the point %q: %v", point, err)
		}
		if a, err := base64.RawURLEncoding.DecodeString(auth); err != nil || len(a) != 16 {
			t.Fatalf("took auth %q: %v", auth, err)
		}
	})
}
