package password

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func newHasher(t testing.TB, cfg Config) *Hasher {
	t.Helper()
	cfg.MemoryKiB = max(cfg.MemoryKiB, 64)
	h, err := NewHasher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestVerify(t *testing.T) {
	h := newHasher(t, Config{})
	encoded, err := h.Hash(t.Context(), "correct horse")
	if err != nil || !strings.HasPrefix(encoded, "$argon2id$v=19$m=64,t=2,p=1$") {
		t.Fatalf("%q, %v", encoded, err)
	}
	again, _ := h.Hash(t.Context(), "correct horse")
	if again == encoded {
		t.Error("two hashes share a salt")
	}
	stronger := newHasher(t, Config{MemoryKiB: 128})
	for _, tt := range []struct {
		name, encoded, password string
		by                      *Hasher
		ok, stale               bool
	}{
		{"right", encoded, "correct horse", h, true, false},
		{"wrong", encoded, "correct hors", h, false, false},
		{"no account", "", "there is no such account", h, false, false},
		{"costs less than today", encoded, "correct horse", stronger, true, true},
	} {
		ok, stale, err := tt.by.Verify(t.Context(), tt.encoded, tt.password)
		if err != nil || ok != tt.ok || stale != tt.stale {
			t.Errorf("%s: %v, %v, %v", tt.name, ok, stale, err)
		}
	}
	for _, damaged := range []string{"x", "$argon2i$v=19$m=64,t=2,p=1$AAAA$AAAA", "$argon2id$v=19$m=64,t=0,p=1$AAAA$AAAA", "$argon2id$v=19$m=64,t=2,p=1$AAAA$"} {
		if _, _, err := h.Verify(t.Context(), damaged, "x"); err == nil {
			t.Errorf("%q was taken", damaged)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	h := newHasher(t, Config{Concurrency: 1, MaxQueued: 1})
	release, err := h.people.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() { _, err := h.people.acquire(ctx); waits <- err }()
	for h.people.entered.Load() < 2 {
		runtime.Gosched()
	}
	if _, _, err := h.Verify(t.Context(), "", "x"); chat.CodeOf(err) != chat.CodeOverloaded {
		t.Errorf("the third: %v", err)
	}
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("the second: %v", err)
	}
	release()
	if _, _, err := h.Verify(t.Context(), "", "x"); err != nil {
		t.Errorf("after the release: %v", err)
	}
}

// However many register, those who have an account are let in, and can change their
// passwords.
func TestStrangersLeaveRoom(t *testing.T) {
	h := newHasher(t, Config{})
	encoded, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	for range cap(h.strangers.slots) {
		release, err := h.strangers.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.HashOfStranger(given, "one more"); !errors.Is(err, context.Canceled) {
		t.Fatalf("one more: %v", err)
	}
	if ok, _, err := h.Verify(t.Context(), encoded, "correct horse"); !ok || err != nil {
		t.Errorf("a log-in: %v, %v", ok, err)
	}
	if _, err := h.Hash(t.Context(), "battery staple"); err != nil {
		t.Errorf("another password: %v", err)
	}
}

func BenchmarkHash(b *testing.B) {
	h, _ := NewHasher(Config{})
	for b.Loop() {
		_, _ = h.Hash(context.Background(), "correct horse")
	}
}
