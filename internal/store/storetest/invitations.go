package storetest

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var invitationTests = []testCase{
	{name: "an invitation is kept as given", run: invitationKept, fresh: true},
	{name: "which ones pay", run: invitationPays},
	{name: "one use in a race", run: invitationRace},
	{name: "end", run: invitationEnd},
}

func invitation(uses int, life time.Duration) store.Invitation {
	return store.Invitation{Token: token(), CreatedBy: 7, CreatedAt: ms(0), ExpiresAt: ms(life), MaxUses: uses}
}

func (w *world) invite(uses int, life time.Duration) store.Invitation {
	w.Helper()
	return must[store.Invitation](w)(w.s.CreateInvitation(w.ctx(), invitation(uses, life)))
}

func invitationKept(w *world) {
	in := invitation(2, time.Hour)
	first := must[store.Invitation](w)(w.s.CreateInvitation(w.ctx(), in))
	in.ID = first.ID
	w.same("made", first, in)
	second := w.invite(0, 2*time.Hour)
	w.invite(1, -time.Minute) // expired
	used := w.invite(1, time.Hour)
	must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(unique("invited")), used.Token))
	must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(unique("invited")), first.Token))
	first.Uses = 1
	w.reopen()
	got := must[[]store.Invitation](w)(w.s.Invitations(w.ctx(), time.Now()))
	w.same("usable, newest first", got, []store.Invitation{second, first})
	got = must[[]store.Invitation](w)(w.s.Invitations(w.ctx(), time.Now().Add(90*time.Minute)))
	w.same("later", got, []store.Invitation{second})
}

func invitationPays(w *world) {
	try := func(token []byte) error {
		_, err := w.s.CreateUser(w.ctx(), newUser(unique("guest")), token)
		return err
	}
	w.refused(try(token()), chat.CodeForbidden)
	w.refused(try(w.invite(0, -time.Minute).Token), chat.CodeForbidden)
	two := w.invite(2, time.Hour)
	w.nothing(try(two.Token))
	// A name that is taken costs no use.
	name := unique("taken")
	must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(name), nil))
	_, err := w.s.CreateUser(w.ctx(), newUser(name), two.Token)
	w.refused(err, chat.CodeNameTaken)
	w.nothing(try(two.Token))
	w.refused(try(two.Token), chat.CodeForbidden)
	many := w.invite(0, time.Hour)
	for range 5 {
		w.nothing(try(many.Token))
	}
}

func invitationRace(w *world) {
	inv := w.invite(3, time.Hour)
	var mu sync.Mutex
	made := 0
	parallel(w, 10, func(int) {
		_, err := w.s.CreateUser(w.ctx(), newUser(unique("runner")), inv.Token)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			made++
		} else {
			w.refused(err, chat.CodeForbidden)
		}
	})
	w.same("accounts made", made, 3)
}

func invitationEnd(w *world) {
	inv := w.invite(0, time.Hour)
	w.nothing(w.s.DeleteInvitation(w.ctx(), inv.ID))
	w.refused(w.s.DeleteInvitation(w.ctx(), inv.ID), chat.CodeNotFound)
	_, err := w.s.CreateUser(w.ctx(), newUser(unique("late")), inv.Token)
	w.refused(err, chat.CodeForbidden)
}
