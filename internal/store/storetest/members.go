package storetest

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var memberTests = []testCase{
	{name: "join", run: join},
	{name: "add", run: addMembers},
	{name: "remove and leave", run: removeMembers},
	{name: "who may remove whom", run: mayRemove},
	{name: "the last owner has a successor", run: succession},
	{name: "roles", run: setRoles},
	{name: "coming back", run: comeBack},
	{name: "list", run: listMembers},
	{name: "acquainted", run: acquainted},
	{name: "marks", run: marks},
	{name: "marks of the other person", run: peerMarks},
}

func join(w *world) {
	owner, u := w.user(), w.user()
	c := w.channel(owner)
	w.sendN(c, owner, 3)
	ch := must[store.Change](w)(w.s.Join(w.ctx(), c, u))
	w.same("joined", ch.Joined, []chat.UserID{u})
	w.same("changed", ch.Changed, true)
	w.same("rev", ch.Conversation.Rev, int64(5))
	w.same("members rev", ch.Conversation.MembersRev, int64(5))
	w.same("members", ch.Conversation.Members, 2)
	w.same("audience", ch.Audience, chat.Audience{Conversation: c, MembersRev: 5, Members: sorted(owner, u)})
	again := must[store.Change](w)(w.s.Join(w.ctx(), c, u))
	w.same("again", again, store.Change{Conversation: ch.Conversation, Audience: ch.Audience})

	s := w.summary(c, u)
	w.same("role", s.Role, chat.Member)
	w.same("what was said before is read", []int64{s.Read, s.Unread}, []int64{3, 0})
	w.same("and can be seen", len(w.history(c, u)), 3)

	for _, kind := range []chat.ConversationID{w.group(owner), w.direct(owner, w.user())} {
		w.refused(second(w.s.Join(w.ctx(), kind, u)), chat.CodeNotFound)
	}
	w.refused(second(w.s.Join(w.ctx(), c, 1)), chat.CodeNotFound)
}

func addMembers(w *world) {
	people := w.users(5)
	c := w.group(people[0], people[1])
	ch := must[store.Change](w)(w.s.AddMembers(w.ctx(), c, people[1], []chat.UserID{people[2], people[0], people[3], people[2]}))
	w.same("joined", sorted(ch.Joined...), sorted(people[2], people[3]))
	w.same("one change", ch.Conversation.Rev, int64(2))
	w.same("audience", ch.Audience.Members, sorted(people[:4]...))
	again := must[store.Change](w)(w.s.AddMembers(w.ctx(), c, people[0], []chat.UserID{people[2]}))
	w.same("again", again, store.Change{Conversation: ch.Conversation, Audience: ch.Audience})
	must[store.Change](w)(w.s.AddMembers(w.ctx(), c, people[0], nil))

	// One who cannot be added keeps the others out as well.
	off := true
	disabled := w.user()
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), disabled, store.UserChange{Disabled: &off}))
	for _, who := range []chat.UserID{1, disabled} {
		w.refused(second(w.s.AddMembers(w.ctx(), c, people[0], []chat.UserID{people[4], who})), chat.CodeNotFound)
	}
	w.same("members", w.members(c), sorted(people[:4]...))
	d := w.direct(people[0], people[1])
	w.refused(second(w.s.AddMembers(w.ctx(), d, people[0], []chat.UserID{people[2]})), chat.CodeForbidden)
}

func removeMembers(w *world) {
	people := w.users(3)
	c := w.group(people[0], people[1:]...)
	ch := must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[0], people[1]))
	w.same("left", ch.Left, []chat.UserID{people[1]})
	w.same("audience is who remains", ch.Audience, chat.Audience{Conversation: c, MembersRev: 2, Members: sorted(people[0], people[2])})
	w.same("members", ch.Conversation.Members, 2)
	w.refused(second(w.s.RemoveMember(w.ctx(), c, people[0], people[1])), chat.CodeNotFound)
	// Right after, nothing reaches the one who was removed.
	w.send(c, people[0], "without you")
	w.refused(second(w.s.History(w.ctx(), c, people[1], 1, 9, false, 9)), chat.CodeNotFound)
	w.refused(second(w.s.Conversation(w.ctx(), c, people[1])), chat.CodeNotFound)
	if o := w.append(submission(c, people[1], "let me in"))[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
		w.Errorf("a removed member posted: %+v", o)
	}
	ch = must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[2], people[2]))
	w.same("who leaves", ch.Left, []chat.UserID{people[2]})
	d := w.direct(people[0], people[1])
	w.refused(second(w.s.RemoveMember(w.ctx(), d, people[0], people[0])), chat.CodeForbidden)
	w.refused(second(w.s.RemoveMember(w.ctx(), d, people[0], people[1])), chat.CodeForbidden)
}

func mayRemove(w *world) {
	people := w.users(6)
	owner, owner2, admin, admin2, member, member2 := people[0], people[1], people[2], people[3], people[4], people[5]
	c := w.group(owner, people[1:]...)
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, owner2, chat.Owner))
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, admin, chat.Admin))
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, admin2, chat.Admin))
	for _, pair := range [][2]chat.UserID{{admin, owner}, {admin, admin2}, {member, member2}, {member, admin}, {member, owner}} {
		w.refused(second(w.s.RemoveMember(w.ctx(), c, pair[0], pair[1])), chat.CodeForbidden)
	}
	for _, pair := range [][2]chat.UserID{{admin, member}, {owner, admin}, {owner2, owner}} {
		must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, pair[0], pair[1]))
	}
	w.same("who remains", w.members(c), sorted(owner2, admin2, member2))
}

func succession(w *world) {
	people := w.users(4)
	c := w.group(people[0], people[1], people[2])
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, people[0], people[2], chat.Admin))
	before := w.summary(c, people[1]).Rev
	ch := must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[0], people[0]))
	w.same("one change", ch.Conversation.Rev, before+1)
	w.same("the admin", w.summary(c, people[2]).Role, chat.Owner)
	must[store.Change](w)(w.s.AddMembers(w.ctx(), c, people[2], []chat.UserID{people[3]}))
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[2], people[2]))
	w.same("the one who was in it longest", w.summary(c, people[1]).Role, chat.Owner)
	w.same("not the newcomer", w.summary(c, people[3]).Role, chat.Member)
	// With a second owner nobody is promoted.
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, people[1], people[3], chat.Owner))
	must[store.Change](w)(w.s.AddMembers(w.ctx(), c, people[1], []chat.UserID{people[2]}))
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[3], people[1]))
	w.same("no one is promoted", w.summary(c, people[2]).Role, chat.Member)
	// The heir can act at once.
	title := "mine now"
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[3], people[3]))
	must[store.Change](w)(w.s.UpdateConversation(w.ctx(), c, people[2], &title, nil))
}

func setRoles(w *world) {
	people := w.users(3)
	owner, u, other := people[0], people[1], people[2]
	c := w.group(owner, u, other)
	ch := must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, u, chat.Admin))
	w.same("changed", ch.Changed, true)
	w.same("a change of membership", ch.Conversation.MembersRev, ch.Conversation.Rev)
	w.same("role", w.summary(c, u).Role, chat.Admin)
	ch = must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, u, chat.Admin))
	w.same("again", ch.Changed, false)
	w.refused(second(w.s.SetRole(w.ctx(), c, u, other, chat.Admin)), chat.CodeForbidden)
	w.refused(second(w.s.SetRole(w.ctx(), c, owner, u, "king")), chat.CodeInvalid)
	w.refused(second(w.s.SetRole(w.ctx(), c, owner, u, "")), chat.CodeInvalid)
	w.refused(second(w.s.SetRole(w.ctx(), c, owner, w.user(), chat.Admin)), chat.CodeNotFound)
	w.refused(second(w.s.SetRole(w.ctx(), w.direct(owner, u), owner, u, chat.Owner)), chat.CodeForbidden)
	// There is always an owner.
	w.refused(second(w.s.SetRole(w.ctx(), c, owner, owner, chat.Member)), chat.CodeForbidden)
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, other, chat.Owner))
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, owner, chat.Member))
	w.refused(second(w.s.SetRole(w.ctx(), c, owner, u, chat.Member)), chat.CodeForbidden)
	w.same("roles", []chat.Role{w.summary(c, owner).Role, w.summary(c, u).Role, w.summary(c, other).Role},
		[]chat.Role{chat.Member, chat.Admin, chat.Owner})
}

func comeBack(w *world) {
	owner, u := w.user(), w.user()
	c := w.channel(owner, u)
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, u, chat.Admin))
	w.sendN(c, owner, 5)
	w.mark(c, u, 2, 2)
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, u, u))
	w.sendN(c, owner, 4)
	ch := must[store.Change](w)(w.s.Join(w.ctx(), c, u))
	w.same("joined", ch.Joined, []chat.UserID{u})
	s := w.summary(c, u)
	w.same("an old role does not come back", s.Role, chat.Member)
	w.same("nothing is unread", []int64{s.Read, s.Unread}, []int64{9, 0})
	w.same("history", len(w.history(c, u)), 9)
	w.sendN(c, owner, 1)
	w.same("unread counts on", w.summary(c, u).Unread, int64(1))
	w.same("members", w.members(c), sorted(owner, u))
}

func listMembers(w *world) {
	people := sorted(w.users(5)...)
	c := w.group(people[2], people...)
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, people[2], people[0], chat.Admin))
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[2], people[3]))
	w.sendN(c, people[0], 3)
	w.mark(c, people[1], 2, 3)
	var got []chat.Membership
	for after := chat.UserID(0); ; {
		page := must[[]chat.Membership](w)(w.s.MembersOf(w.ctx(), c, people[4], after, 1))
		if len(page) == 0 {
			break
		}
		w.recent("JoinedAt", page[0].JoinedAt)
		page[0].JoinedAt = time.Time{}
		got = append(got, page[0])
		after = page[0].User
	}
	w.same("paged", got, []chat.Membership{
		{Conversation: c, User: people[0], Role: chat.Admin},
		{Conversation: c, User: people[1], Role: chat.Member, Read: 2, Received: 3},
		{Conversation: c, User: people[2], Role: chat.Owner},
		{Conversation: c, User: people[4], Role: chat.Member},
	})
	w.same("at once", len(must[[]chat.Membership](w)(w.s.MembersOf(w.ctx(), c, people[4], people[0], 100))), 3)
	ids, rev, err := w.s.MemberIDs(w.ctx(), c)
	w.nothing(err)
	w.same("ids", ids, []chat.UserID{people[0], people[1], people[2], people[4]})
	w.same("of rev", rev, int64(3))
}

func acquainted(w *world) {
	people := w.users(6)
	u := people[0]
	w.group(u, people[1])
	w.direct(people[2], u)
	left := w.group(u, people[3])
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), left, people[3], people[3]))
	left = w.group(people[4], u)
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), left, u, u))
	got := must[[]chat.UserID](w)(w.s.SharesConversation(w.ctx(), u, append([]chat.UserID{1}, people[1:]...)))
	w.same("acquainted", sorted(got...), sorted(people[1], people[2]))
	w.same("nobody", len(must[[]chat.UserID](w)(w.s.SharesConversation(w.ctx(), people[5], people[:5]))), 0)
}

func (w *world) mark(c chat.ConversationID, u chat.UserID, read, received int64) (chat.Membership, bool) {
	w.Helper()
	m, moved, err := w.s.Mark(w.ctx(), c, u, read, received)
	w.nothing(err)
	return m, moved
}

func marks(w *world) {
	owner, u := w.user(), w.user()
	c := w.group(owner, u)
	w.sendN(c, owner, 10)
	for _, step := range []struct{ read, received, wantRead, wantReceived int64 }{
		{0, 0, 0, 0},
		{0, 4, 0, 4},
		{3, 0, 3, 4},
		{2, 1, 3, 4}, // never back
		{3, 4, 3, 4},
		{5, 2, 5, 4},
		{99, 99, 10, 10}, // never past the last message
		{-1, -1, 10, 10},
	} {
		before := w.summary(c, u)
		m, moved := w.mark(c, u, step.read, step.received)
		w.same("marks", []int64{m.Read, m.Received}, []int64{step.wantRead, step.wantReceived})
		w.same("of", []any{m.Conversation, m.User, m.Role}, []any{c, u, chat.Member})
		after := w.summary(c, u)
		w.same("read", after.Read, step.wantRead)
		w.same("unread", after.Unread, 10-step.wantRead)
		w.same("the conversation stays", after.Conversation, before.Conversation)
		again, movedAgain := w.mark(c, u, step.read, step.received)
		w.same("again", again, m)
		w.same("again moved", movedAgain, false)
		if !moved && before.Read != after.Read {
			w.Errorf("the mark moved to %d unsaid", after.Read)
		}
	}
	_, moved := w.mark(c, owner, 1, 0)
	w.same("moved", moved, true)
}

func peerMarks(w *world) {
	u, peer := w.user(), w.user()
	c := w.direct(u, peer)
	w.sendN(c, u, 5)
	w.mark(c, peer, 2, 4)
	s := w.summary(c, u)
	w.same("peer", []int64{s.PeerRead, s.PeerReceived}, []int64{2, 4})
	s = w.summary(c, peer)
	w.same("the other way", []any{s.Peer, s.PeerRead, s.PeerReceived, s.Unread}, []any{u, int64(0), int64(0), int64(3)})
}
