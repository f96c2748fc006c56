// Package password hashes passwords with argon2id (RFC 9106). The memory for
// hashing is bounded by limits on concurrent and on waiting hashes.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Config is the cost of a hash. Zero values mean the defaults, which OWASP's
// Password Storage Cheat Sheet recommends: 19 MiB, 2 passes, 1 lane.
type Config struct {
	MemoryKiB   int
	Passes      int
	Concurrency int // hashes computed at the same time; default 4
	MaxQueued   int // hashes that may wait; default 64
}

const (
	saltBytes = 16
	hashBytes = 32
)

// Hasher hashes and verifies passwords. It is safe for concurrent use.
type Hasher struct {
	memory, passes uint32
	slots          chan struct{}
	waiting        atomic.Int64
	maxWaiting     int64
	dummy          string
}

// NewHasher returns a hasher.
func NewHasher(cfg Config) (*Hasher, error) {
	set := func(v *int, byDefault int) {
		if *v == 0 {
			*v = byDefault
		}
	}
	set(&cfg.MemoryKiB, 19<<10)
	set(&cfg.Passes, 2)
	set(&cfg.Concurrency, 4)
	set(&cfg.MaxQueued, 64)
	if cfg.MemoryKiB < 8 || cfg.MemoryKiB > 4<<20 || cfg.Passes < 1 || cfg.Concurrency < 1 {
		return nil, fmt.Errorf("password hashing needs 8 KiB to 4 GiB of memory, a pass and a slot; got %d KiB, %d, %d", cfg.MemoryKiB, cfg.Passes, cfg.Concurrency)
	}
	h := &Hasher{
		memory: uint32(cfg.MemoryKiB), passes: uint32(cfg.Passes),
		slots: make(chan struct{}, cfg.Concurrency), maxWaiting: int64(cfg.MaxQueued),
	}
	h.dummy = h.encode("there is no such account")
	return h, nil
}

// Check returns a refusal unless a password is long enough and not too long.
func Check(password string) error {
	switch {
	case utf8.RuneCountInString(password) < chat.MinPassword:
		return chat.Refuse(chat.CodeInvalid, "password", "must have at least %d characters", chat.MinPassword)
	case len(password) > chat.MaxPassword:
		return chat.Refuse(chat.CodeTooLarge, "password", "may have %d bytes", chat.MaxPassword)
	}
	return nil
}

// Hash returns the encoded hash of a password with a new salt. It blocks while too
// many hashes are computed, and returns a refusal when too many wait.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	release, err := h.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return h.encode(password), nil
}

// Verify reports whether a password matches an encoded hash, and whether the hash is
// stale: its cost is not the configured one, so it should be replaced. An empty hash
// matches no password. Verifying it takes as long as any other, so that the time does
// not tell which accounts exist. It blocks like Hash.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (ok, stale bool, err error) {
	release, err := h.acquire(ctx)
	if err != nil {
		return false, false, err
	}
	defer release()
	exists := encoded != ""
	if !exists {
		encoded = h.dummy
	}
	p, err := decode(encoded)
	if err != nil {
		return false, false, err
	}
	got := argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, 1, uint32(len(p.hash)))
	ok = subtle.ConstantTimeCompare(got, p.hash) == 1 && exists
	return ok, ok && (p.memory != h.memory || p.passes != h.passes), nil
}

// acquire waits for a free slot.
func (h *Hasher) acquire(ctx context.Context) (release func(), err error) {
	if h.waiting.Add(1) > h.maxWaiting+int64(cap(h.slots)) {
		h.waiting.Add(-1)
		return nil, chat.Refuse(chat.CodeOverloaded, "", "too many people log in at once; try again")
	}
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots; h.waiting.Add(-1) }, nil
	case <-ctx.Done():
		h.waiting.Add(-1)
		return nil, ctx.Err()
	}
}

var b64 = base64.RawStdEncoding

// encode hashes a password and returns the hash in the PHC string format, as argon2's
// reference implementation does.
func (h *Hasher) encode(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails (Go 1.24)
	hash := argon2.IDKey([]byte(password), salt, h.passes, h.memory, 1, hashBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, h.memory, h.passes, b64.EncodeToString(salt), b64.EncodeToString(hash))
}

type parsedHash struct {
	memory, passes uint32
	salt, hash     []byte
}

func decode(encoded string) (p parsedHash, err error) {
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errors.New("a stored password hash is not of argon2id")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &p.memory, &p.passes); err != nil || p.passes == 0 {
		return p, errors.New("a stored password hash has unreadable parameters")
	}
	var err1, err2 error
	p.salt, err1 = b64.DecodeString(parts[4])
	p.hash, err2 = b64.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.hash) == 0 {
		return p, errors.New("a stored password hash is damaged")
	}
	return p, nil
}
