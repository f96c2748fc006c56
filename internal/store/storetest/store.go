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

func secretKept(f *fixture) {
	secret := f.s.Secret()
	f.equal("length", len(secret), 32)
	if bytes.Equal(secret, make([]byte, 32)) {
		f.Error("the secret is zero")
	}
	f.reopen()
	f.equal("again", f.s.Secret(), secret)
}

func ping(f *fixture) { f.noError(f.s.Ping(f.ctx())) }

// closed closes the store during calls: what was acknowledged is kept, and every
// other call fails with ErrUnavailable.
func closed(f *fixture) {
	u := f.user()
	c := f.group(u)
	answered := make([]int, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		parallel(f, len(answered), func(i int) {
			for {
				if _, err := f.decide(batchOf(c, u, 3)); err != nil {
					if !errors.Is(err, store.ErrUnavailable) {
						f.Errorf("after Close: %v", err)
					}
					return
				}
				answered[i] += 3
			}
		})
	}()
	f.sendN(c, u, 1)
	f.noError(f.s.Close())
	<-done
	f.noError(f.s.Close())
	if err := f.s.Ping(f.ctx()); !errors.Is(err, store.ErrUnavailable) {
		f.Errorf("ping after Close: %v", err)
	}
	if _, err := f.s.HasUsers(f.ctx()); !errors.Is(err, store.ErrUnavailable) {
		f.Errorf("read after Close: %v", err)
	}
	f.reopen()
	sum := 1
	for _, n := range answered {
		sum += n
	}
	f.equal("messages", len(f.history(c, u)), sum)
}
