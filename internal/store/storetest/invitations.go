package storetest

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var invitationTests = []testCase{
	{name: "an invitation is kept as given", run: invitationKept, fresh: true},
	{name: "which ones are accepted", run: invitationPays},
	{name: "one use in a race", run: invitationRace},
	{name: "end", run: invitationEnd},
}

func invitation(uses int, life time.Duration) store.Invitation {
	return store.Invitation{Token: token(), CreatedBy: 7, CreatedAt: ms(0), ExpiresAt: ms(life), MaxUses: uses}
}

func (f *fixture) invite(uses int, life time.Duration) store.Invitation {
	f.Helper()
	return must[store.Invitation](f)(f.s.CreateInvitation(f.ctx(), invitation(uses, life)))
}

func invitationKept(f *fixture) {
	in := invitation(2, time.Hour)
	first := must[store.Invitation](f)(f.s.CreateInvitation(f.ctx(), in))
	in.ID = first.ID
	f.equal("made", first, in)
	second := f.invite(0, 2*time.Hour)
	f.invite(1, -time.Minute) // expired
	used := f.invite(1, time.Hour)
	must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(unique("invited")), used.Token))
	must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(unique("invited")), first.Token))
	first.Uses = 1
	f.reopen()
	got := must[[]store.Invitation](f)(f.s.Invitations(f.ctx(), time.Now()))
	f.equal("usable, newest first", got, []store.Invitation{second, first})
	got = must[[]store.Invitation](f)(f.s.Invitations(f.ctx(), time.Now().Add(90*time.Minute)))
	f.equal("later", got, []store.Invitation{second})
}

func invitationPays(f *fixture) {
	try := func(token []byte) error {
		u := newUser(unique("guest"))
		checked := f.s.CheckUser(f.ctx(), u, token)
		_, err := f.s.CreateUser(f.ctx(), u, token)
		f.equal("checked", chat.CodeOf(checked), chat.CodeOf(err))
		return err
	}
	f.refused(try(token()), chat.CodeForbidden)
	f.refused(try(f.invite(0, -time.Minute).Token), chat.CodeForbidden)
	two := f.invite(2, time.Hour)
	f.noError(try(two.Token))
	// A name that is taken costs no use.
	name := unique("taken")
	must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(name), nil))
	_, err := f.s.CreateUser(f.ctx(), newUser(name), two.Token)
	f.refused(err, chat.CodeNameTaken)
	f.noError(try(two.Token))
	f.refused(try(two.Token), chat.CodeForbidden)
	many := f.invite(0, time.Hour)
	for range 5 {
		f.noError(try(many.Token))
	}
}

func invitationRace(f *fixture) {
	inv := f.invite(3, time.Hour)
	var mu sync.Mutex
	made := 0
	parallel(f, 10, func(int) {
		_, err := f.s.CreateUser(f.ctx(), newUser(unique("runner")), inv.Token)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			made++
		} else {
			f.refused(err, chat.CodeForbidden)
		}
	})
	f.equal("accounts made", made, 3)
}

func invitationEnd(f *fixture) {
	inv := f.invite(0, time.Hour)
	f.noError(f.s.DeleteInvitation(f.ctx(), inv.ID))
	f.refused(f.s.DeleteInvitation(f.ctx(), inv.ID), chat.CodeNotFound)
	_, err := f.s.CreateUser(f.ctx(), newUser(unique("late")), inv.Token)
	f.refused(err, chat.CodeForbidden)
}
