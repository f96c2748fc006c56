package storetest

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var linkTests = []testCase{
	{name: "a link is kept as given", run: linkKept},
	{name: "who may handle links", run: mayLink},
	{name: "joining", run: joinByLink},
	{name: "uses in a race", run: linkRace},
	{name: "end", run: linkEnd},
}

func newLink(c chat.ConversationID, by chat.UserID, uses int, life time.Duration) store.Link {
	return store.Link{Conversation: c, Invitation: store.Invitation{
		Token: token(), CreatedBy: by, CreatedAt: ms(0), ExpiresAt: ms(life), MaxUses: uses,
	}}
}

func (w *world) link(c chat.ConversationID, by chat.UserID, uses int, life time.Duration) store.Link {
	w.Helper()
	return must[store.Link](w)(w.s.CreateLink(w.ctx(), newLink(c, by, uses, life)))
}

func linkKept(w *world) {
	owner := w.user()
	c, other := w.group(owner), w.group(owner)
	in := newLink(c, owner, 3, time.Hour)
	first := must[store.Link](w)(w.s.CreateLink(w.ctx(), in))
	in.ID = first.ID
	w.same("made", first, in)
	second := w.link(c, owner, 0, 2*time.Hour)
	w.link(c, owner, 0, -time.Minute)
	w.link(other, owner, 0, time.Hour)
	must[store.Change](w)(w.s.JoinByLink(w.ctx(), first.Token, w.user(), time.Now()))
	first.Uses = 1
	w.reopen()
	w.same("newest first", must[[]store.Link](w)(w.s.LinksOf(w.ctx(), c, owner, time.Now())), []store.Link{second, first})
	w.same("later", must[[]store.Link](w)(w.s.LinksOf(w.ctx(), c, owner, time.Now().Add(90*time.Minute))), []store.Link{second})
	w.same("leads to", must[chat.Conversation](w)(w.s.LinkByToken(w.ctx(), first.Token, time.Now())), w.summary(c, owner).Conversation)
}

func mayLink(w *world) {
	owner, admin, member := w.user(), w.user(), w.user()
	c, d := w.channel(owner, admin, member), w.direct(owner, member)
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, admin, chat.Admin))
	l := w.link(c, admin, 0, time.Hour)
	for id, who := range map[chat.ConversationID]chat.UserID{c: member, d: owner} {
		w.refused(second(w.s.CreateLink(w.ctx(), newLink(id, who, 0, time.Hour))), chat.CodeForbidden)
		w.refused(second(w.s.LinksOf(w.ctx(), id, who, time.Now())), chat.CodeForbidden)
		w.refused(w.s.DeleteLink(w.ctx(), id, who, l.ID), chat.CodeForbidden)
	}
	w.refused(w.s.DeleteLink(w.ctx(), w.group(owner), owner, l.ID), chat.CodeNotFound)
	w.same("still there", len(must[[]store.Link](w)(w.s.LinksOf(w.ctx(), c, owner, time.Now()))), 1)
}

func joinByLink(w *world) {
	owner, u := w.user(), w.user()
	c := w.group(owner)
	w.sendN(c, owner, 2)
	once := w.link(c, owner, 1, time.Hour)
	ch := must[store.Change](w)(w.s.JoinByLink(w.ctx(), once.Token, u, time.Now()))
	w.same("joined", ch.Joined, []chat.UserID{u})
	w.same("audience", ch.Audience.Members, sorted(owner, u))
	w.same("role", w.summary(c, u).Role, chat.Member)
	// Asked again, the answer is not that the link is used up.
	again := must[store.Change](w)(w.s.JoinByLink(w.ctx(), once.Token, u, time.Now()))
	w.same("again", again, store.Change{Conversation: ch.Conversation, Audience: ch.Audience})
	w.refused(second(w.s.JoinByLink(w.ctx(), once.Token, w.user(), time.Now())), chat.CodeNotFound)
	w.refused(second(w.s.LinkByToken(w.ctx(), once.Token, time.Now())), chat.CodeNotFound)

	two := w.link(c, owner, 2, time.Hour)
	must[store.Change](w)(w.s.JoinByLink(w.ctx(), two.Token, owner, time.Now()))
	links := must[[]store.Link](w)(w.s.LinksOf(w.ctx(), c, owner, time.Now()))
	w.same("a member costs no use", links[0].Uses, 0)
	w.refused(second(w.s.JoinByLink(w.ctx(), two.Token, w.user(), time.Now().Add(2*time.Hour))), chat.CodeNotFound)
	w.refused(second(w.s.JoinByLink(w.ctx(), token(), w.user(), time.Now())), chat.CodeNotFound)
	w.refused(second(w.s.LinkByToken(w.ctx(), token(), time.Now())), chat.CodeNotFound)
	w.refused(second(w.s.JoinByLink(w.ctx(), two.Token, 1, time.Now())), chat.CodeNotFound)
	w.same("members", w.members(c), sorted(owner, u))
	// A link outlives the place of who made it.
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, owner, owner))
	must[store.Change](w)(w.s.JoinByLink(w.ctx(), two.Token, w.user(), time.Now()))
}

func linkRace(w *world) {
	owner := w.user()
	c := w.group(owner)
	l := w.link(c, owner, 4, time.Hour)
	people := w.users(12)
	var mu sync.Mutex
	in := 0
	parallel(w, len(people), func(i int) {
		_, err := w.s.JoinByLink(w.ctx(), l.Token, people[i], time.Now())
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			in++
		} else {
			w.refused(err, chat.CodeNotFound)
		}
	})
	w.same("let in", in, 4)
	w.same("members", len(w.members(c)), 5)
}

func linkEnd(w *world) {
	owner := w.user()
	c := w.group(owner)
	l := w.link(c, owner, 0, time.Hour)
	w.nothing(w.s.DeleteLink(w.ctx(), c, owner, l.ID))
	w.refused(w.s.DeleteLink(w.ctx(), c, owner, l.ID), chat.CodeNotFound)
	w.refused(second(w.s.JoinByLink(w.ctx(), l.Token, w.user(), time.Now())), chat.CodeNotFound)
	w.same("left", len(must[[]store.Link](w)(w.s.LinksOf(w.ctx(), c, owner, time.Now()))), 0)
}
