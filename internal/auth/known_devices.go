package auth

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/cursor"
)

const (
	deviceCookieName = "hikyaku_device"
	// deviceLifetime is how long a browser is known after a log-in: as long as browsers
	// keep a cookie at most (RFC 6265bis, 5.5).
	deviceLifetime = 400 * 24 * time.Hour
)

// KnownDevices recognises browsers on which somebody has logged in to an account
// before, by a cookie that no other browser can make. Wrong passwords of such a browser
// are counted by themselves, so guesses from elsewhere do not keep people from their
// own accounts, and its own are limited as all others are (OWASP, Slow Down Online
// Guessing Attacks with Device Cookies). The cookie logs nobody in. It is safe for
// concurrent use.
type KnownDevices struct{ sealer *cursor.Sealer }

// NewKnownDevices returns what makes and reads the cookies.
func NewKnownDevices(sealer *cursor.Sealer) *KnownDevices { return &KnownDevices{sealer} }

// devicePurpose is what the id of a browser is sealed for. The name of the account is
// not in the cookie, which stays after a log-out.
func devicePurpose(name string) string { return "known device of " + name }

// Of returns the id of the browser that sent a request, where it is known to the
// account with the canonical name, or "".
func (k *KnownDevices) Of(r *http.Request, name string) (id string) {
	for _, cookie := range []string{deviceCookieName, hostPrefix + deviceCookieName, securePrefix + deviceCookieName} {
		c, err := r.Cookie(cookie)
		if err != nil {
			continue
		}
		if k.sealer.Open(devicePurpose(name), 0, c.Value, &id) == nil {
			return id
		}
	}
	return ""
}

// Cookie returns the cookie for the answer to a request that has logged in to the
// account with the canonical name: with the id that the browser has there, or a new
// one.
func (k *KnownDevices) Cookie(r *http.Request, name, path string) *http.Cookie {
	id := k.Of(r, name)
	if id == "" {
		id = rand.Text()
	}
	return newCookie(deviceCookieName, k.sealer.Seal(devicePurpose(name), 0, id), path, IsSecure(r), deviceLifetime)
}
