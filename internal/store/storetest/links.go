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

func (f *fixture) link(c chat.ConversationID, by chat.UserID, uses int, life time.Duration) store.Link {
	f.Helper()
	return must[store.Link](f)(f.s.CreateLink(f.ctx(), newLink(c, by, uses, life)))
}

func linkKept(f *fixture) {
	owner := f.user()
	c, other := f.group(owner), f.group(owner)
	in := newLink(c, owner, 3, time.Hour)
	first := must[store.Link](f)(f.s.CreateLink(f.ctx(), in))
	in.ID = first.ID
	f.equal("made", first, in)
	second := f.link(c, owner, 0, 2*time.Hour)
	f.link(c, owner, 0, -time.Minute)
	f.link(other, owner, 0, time.Hour)
	must[store.Change](f)(f.s.JoinByLink(f.ctx(), first.Token, f.user(), time.Now()))
	first.Uses = 1
	f.reopen()
	f.equal("newest first", must[[]store.Link](f)(f.s.LinksOf(f.ctx(), c, owner, time.Now())), []store.Link{second, first})
	f.equal("later", must[[]store.Link](f)(f.s.LinksOf(f.ctx(), c, owner, time.Now().Add(90*time.Minute))), []store.Link{second})
	f.equal("leads to", must[chat.Conversation](f)(f.s.LinkByToken(f.ctx(), first.Token, time.Now())), f.summary(c, owner).Conversation)
}

func mayLink(f *fixture) {
	owner, admin, member := f.user(), f.user(), f.user()
	c, d := f.channel(owner, admin, member), f.direct(owner, member)
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, admin, chat.Admin))
	l := f.link(c, admin, 0, time.Hour)
	for id, who := range map[chat.ConversationID]chat.UserID{c: member, d: owner} {
		f.refused(second(f.s.CreateLink(f.ctx(), newLink(id, who, 0, time.Hour))), chat.CodeForbidden)
		f.refused(second(f.s.LinksOf(f.ctx(), id, who, time.Now())), chat.CodeForbidden)
		f.refused(f.s.DeleteLink(f.ctx(), id, who, l.ID), chat.CodeForbidden)
	}
	f.refused(f.s.DeleteLink(f.ctx(), f.group(owner), owner, l.ID), chat.CodeNotFound)
	f.equal("still there", len(must[[]store.Link](f)(f.s.LinksOf(f.ctx(), c, owner, time.Now()))), 1)
}

func joinByLink(f *fixture) {
	owner, u := f.user(), f.user()
	c := f.group(owner)
	f.sendN(c, owner, 2)
	once := f.link(c, owner, 1, time.Hour)
	ch := must[store.Change](f)(f.s.JoinByLink(f.ctx(), once.Token, u, time.Now()))
	f.equal("joined", ch.Joined, []chat.UserID{u})
	f.equal("audience", ch.Audience.Members, sorted(owner, u))
	f.equal("role", f.summary(c, u).Role, chat.Member)
	// Asked again, the answer is not that the link is used up.
	again := must[store.Change](f)(f.s.JoinByLink(f.ctx(), once.Token, u, time.Now()))
	f.equal("again", again, store.Change{Conversation: ch.Conversation, Audience: ch.Audience})
	f.refused(second(f.s.JoinByLink(f.ctx(), once.Token, f.user(), time.Now())), chat.CodeNotFound)
	f.refused(second(f.s.LinkByToken(f.ctx(), once.Token, time.Now())), chat.CodeNotFound)

	two := f.link(c, owner, 2, time.Hour)
	must[store.Change](f)(f.s.JoinByLink(f.ctx(), two.Token, owner, time.Now()))
	links := must[[]store.Link](f)(f.s.LinksOf(f.ctx(), c, owner, time.Now()))
	f.equal("a member costs no use", links[0].Uses, 0)
	f.refused(second(f.s.JoinByLink(f.ctx(), two.Token, f.user(), time.Now().Add(2*time.Hour))), chat.CodeNotFound)
	f.refused(second(f.s.JoinByLink(f.ctx(), token(), f.user(), time.Now())), chat.CodeNotFound)
	f.refused(second(f.s.LinkByToken(f.ctx(), token(), time.Now())), chat.CodeNotFound)
	f.refused(second(f.s.JoinByLink(f.ctx(), two.Token, 1, time.Now())), chat.CodeNotFound)
	f.equal("members", f.members(c), sorted(owner, u))
	// A link stays valid after its creator has left.
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, owner, owner))
	must[store.Change](f)(f.s.JoinByLink(f.ctx(), two.Token, f.user(), time.Now()))
}

func linkRace(f *fixture) {
	owner := f.user()
	c := f.group(owner)
	l := f.link(c, owner, 4, time.Hour)
	users := f.users(12)
	var mu sync.Mutex
	in := 0
	parallel(f, len(users), func(i int) {
		_, err := f.s.JoinByLink(f.ctx(), l.Token, users[i], time.Now())
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			in++
		} else {
			f.refused(err, chat.CodeNotFound)
		}
	})
	f.equal("let in", in, 4)
	f.equal("members", len(f.members(c)), 5)
}

func linkEnd(f *fixture) {
	owner := f.user()
	c := f.group(owner)
	l := f.link(c, owner, 0, time.Hour)
	f.noError(f.s.DeleteLink(f.ctx(), c, owner, l.ID))
	f.refused(f.s.DeleteLink(f.ctx(), c, owner, l.ID), chat.CodeNotFound)
	f.refused(second(f.s.JoinByLink(f.ctx(), l.Token, f.user(), time.Now())), chat.CodeNotFound)
	f.equal("left", len(must[[]store.Link](f)(f.s.LinksOf(f.ctx(), c, owner, time.Now()))), 0)
}
