// Package password hashes passwords with argon2id (RFC 9106). The memory for
// hashing is bounded by limits on concurrent and on waiting hashes.
package password

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Config is the cost of a hash. Zero values mean the defaults, which OWASP's
// Password Storage Cheat Sheet recommends: 19 MiB, 2 passes, 1 lane.
type Config struct {
	MemoryKiB   int // KiB of one hash, 8 to 4 Mi; default 19,456
	Passes      int // over the memory, 1 to 1,000; default 2
	Concurrency int // passwords verified at the same time, 1 to 1,000; default 4
	MaxQueued   int // passwords that may wait for that, 1 to 1e6; default 64
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.MemoryKiB = cmp.Or(c.MemoryKiB, 19<<10)
	c.Passes = cmp.Or(c.Passes, 2)
	c.Concurrency = cmp.Or(c.Concurrency, 4)
	c.MaxQueued = cmp.Or(c.MaxQueued, 64)
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c Config) Validate() error {
	return cmp.Or(
		setting.Between("hash-memory", c.MemoryKiB, 8, 4<<20, "KiB for one password, such as 19456"),
		setting.Between("hash-at-once", c.Concurrency, 1, 1000, "passwords side by side, such as 4"),
		setting.Between("hash-passes", c.Passes, 1, 1000, "passes over the memory, such as 2"),
		setting.Between("hash-max-queued", c.MaxQueued, 1, 1e6, "passwords that may wait, such as 64"),
	)
}

const (
	saltBytes = 16
	hashBytes = 32
)

// Hasher hashes and verifies passwords. It is safe for concurrent use.
//
// Strangers have a quarter of the capacity besides, so that people can log in while
// others register.
type Hasher struct {
	memory, passes    uint32
	people, strangers *queue
	dummy             string
}

// NewHasher returns a hasher.
func NewHasher(cfg Config) (*Hasher, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	h := &Hasher{
		memory: uint32(cfg.MemoryKiB), passes: uint32(cfg.Passes),
		people:    newQueue(cfg.Concurrency, cfg.MaxQueued, "too many people log in at once; try again"),
		strangers: newQueue(max(cfg.Concurrency/4, 1), max(cfg.MaxQueued/4, 1), "too many people register at once; try again"),
	}
	h.dummy = h.encode("there is no such account")
	return h, nil
}

// Hash returns the encoded hash of a password with a new salt. It blocks while too
// many are computed, and returns a refusal when too many wait.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	return h.hashIn(ctx, h.people, password)
}

// HashOfStranger is Hash for those who have no account yet. It does not wait for those
// who have one, nor they for it.
func (h *Hasher) HashOfStranger(ctx context.Context, password string) (string, error) {
	return h.hashIn(ctx, h.strangers, password)
}

func (h *Hasher) hashIn(ctx context.Context, q *queue, password string) (string, error) {
	release, err := q.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return h.encode(password), nil
}

// Verify reports whether a password matches an encoded hash, and whether the hash is
// stale: its cost is not the configured one, so it should be replaced. An empty hash
// matches no password. Verifying it takes as long as any other, so that the time does
// not tell which accounts exist. It blocks while too many are verified, and returns a
// refusal when too many wait.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (ok, stale bool, err error) {
	release, err := h.people.acquire(ctx)
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

// queue bounds how many hashes are computed at the same time, and how many wait.
type queue struct {
	slots   chan struct{}
	entered atomic.Int64 // computed or waiting
	max     int64        // of entered
	refusal string
}

func newQueue(slots, waiting int, refusal string) *queue {
	return &queue{slots: make(chan struct{}, slots), max: int64(slots + waiting), refusal: refusal}
}

func (q *queue) acquire(ctx context.Context) (release func(), err error) {
	if q.entered.Add(1) > q.max {
		q.entered.Add(-1)
		return nil, chat.Refuse(chat.CodeOverloaded, "", "%s", q.refusal)
	}
	select {
	case q.slots <- struct{}{}:
		return func() { <-q.slots; q.entered.Add(-1) }, nil
	case <-ctx.Done():
		q.entered.Add(-1)
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
