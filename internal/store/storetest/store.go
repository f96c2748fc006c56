package storetest

import (
	"bytes"
	"errors"

	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var storeTests = []testCase{
	{name: "the secret comes back", run: secretKept},
	{name: "ping", run: ping},
	{name: "closed", run: closed},
}

func secretKept(w *world) {
	secret := w.s.Secret()
	w.same("length", len(secret), 32)
	if bytes.Equal(secret, make([]byte, 32)) {
		w.Error("the secret is zero")
	}
	w.reopen()
	w.same("again", w.s.Secret(), secret)
}

func ping(w *world) { w.nothing(w.s.Ping(w.ctx())) }

// closed closes while others work: what was answered is kept, and the rest is
// told that the store is away.
func closed(w *world) {
	u := w.user()
	c := w.group(u)
	answered := make([]int, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		parallel(w, len(answered), func(i int) {
			for {
				if _, err := w.s.Append(w.ctx(), batchOf(c, u, 3)); err != nil {
					if !errors.Is(err, store.ErrUnavailable) {
						w.Errorf("after Close: %v", err)
					}
					return
				}
				answered[i] += 3
			}
		})
	}()
	w.sendN(c, u, 1)
	w.nothing(w.s.Close())
	<-done
	w.nothing(w.s.Close())
	if err := w.s.Ping(w.ctx()); !errors.Is(err, store.ErrUnavailable) {
		w.Errorf("ping after Close: %v", err)
	}
	if _, err := w.s.CountUsers(w.ctx()); !errors.Is(err, store.ErrUnavailable) {
		w.Errorf("read after Close: %v", err)
	}
	w.reopen()
	sum := 1
	for _, n := range answered {
		sum += n
	}
	w.same("messages", len(w.history(c, u)), sum)
}
