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
	{name: "who may remove members", run: mayRemove},
	{name: "the last owner has a successor", run: succession},
	{name: "roles", run: setRoles},
	{name: "coming back", run: comeBack},
	{name: "list", run: listMembers},
	{name: "shared conversations", run: sharesConversation},
	{name: "marks", run: marks},
	{name: "marks of the other user", run: peerMarks},
}

func join(f *fixture) {
	owner, u := f.user(), f.user()
	c := f.channel(owner)
	f.sendN(c, owner, 3)
	ch := must[store.Change](f)(f.s.Join(f.ctx(), c, u))
	f.equal("joined", ch.Joined, []chat.UserID{u})
	f.equal("changed", ch.Changed, true)
	f.equal("rev", ch.Conversation.Rev, int64(5))
	f.equal("members rev", ch.Conversation.MembersRev, int64(5))
	f.equal("members rev before", ch.MembersRevBefore, int64(1))
	f.equal("members", ch.Conversation.Members, 2)
	f.equal("audience", ch.Audience, chat.Audience{Conversation: c, MembersRev: 5, Members: sorted(owner, u)})
	again := must[store.Change](f)(f.s.Join(f.ctx(), c, u))
	f.equal("again", again, store.Change{Conversation: ch.Conversation, Audience: ch.Audience})

	s := f.summary(c, u)
	f.equal("role", s.Role, chat.Member)
	f.equal("what was said before is read", []int64{s.Read, s.Unread}, []int64{3, 0})
	f.equal("and can be seen", len(f.history(c, u)), 3)

	for _, kind := range []chat.ConversationID{f.group(owner), f.direct(owner, f.user())} {
		f.refused(second(f.s.Join(f.ctx(), kind, u)), chat.CodeNotFound)
	}
	f.refused(second(f.s.Join(f.ctx(), c, 1)), chat.CodeNotFound)
}

func addMembers(f *fixture) {
	users := f.users(5)
	c := f.group(users[0], users[1])
	ch := must[store.Change](f)(f.s.AddMembers(f.ctx(), c, users[1], []chat.UserID{users[2], users[0], users[3], users[2]}))
	f.equal("joined", sorted(ch.Joined...), sorted(users[2], users[3]))
	f.equal("one change", ch.Conversation.Rev, int64(2))
	f.equal("audience", ch.Audience.Members, sorted(users[:4]...))
	again := must[store.Change](f)(f.s.AddMembers(f.ctx(), c, users[0], []chat.UserID{users[2]}))
	f.equal("again", again, store.Change{Conversation: ch.Conversation, Audience: ch.Audience})
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, users[0], nil))

	// If one user cannot be added, none is.
	off := true
	disabled := f.user()
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), disabled, store.UserChange{Disabled: &off}))
	for _, who := range []chat.UserID{1, disabled} {
		f.refused(second(f.s.AddMembers(f.ctx(), c, users[0], []chat.UserID{users[4], who})), chat.CodeNotFound)
	}
	f.equal("members", f.members(c), sorted(users[:4]...))
	d := f.direct(users[0], users[1])
	f.refused(second(f.s.AddMembers(f.ctx(), d, users[0], []chat.UserID{users[2]})), chat.CodeForbidden)
}

func removeMembers(f *fixture) {
	users := f.users(3)
	c := f.group(users[0], users[1:]...)
	ch := must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[0], users[1]))
	f.equal("left", ch.Left, []chat.UserID{users[1]})
	f.equal("audience is who remains", ch.Audience, chat.Audience{Conversation: c, MembersRev: 2, Members: sorted(users[0], users[2])})
	f.equal("members", ch.Conversation.Members, 2)
	f.refused(second(f.s.RemoveMember(f.ctx(), c, users[0], users[1])), chat.CodeNotFound)
	// From now on nothing reaches the removed member.
	f.send(c, users[0], "without you")
	f.refused(second(f.s.History(f.ctx(), c, users[1], 1, 9, false, 9)), chat.CodeNotFound)
	f.refused(second(f.s.Conversation(f.ctx(), c, users[1])), chat.CodeNotFound)
	if o := f.append(submission(c, users[1], "let me in"))[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
		f.Errorf("a removed member posted: %+v", o)
	}
	ch = must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[2], users[2]))
	f.equal("who leaves", ch.Left, []chat.UserID{users[2]})
	d := f.direct(users[0], users[1])
	f.refused(second(f.s.RemoveMember(f.ctx(), d, users[0], users[0])), chat.CodeForbidden)
	f.refused(second(f.s.RemoveMember(f.ctx(), d, users[0], users[1])), chat.CodeForbidden)
}

func mayRemove(f *fixture) {
	users := f.users(6)
	owner, owner2, admin, admin2, member, member2 := users[0], users[1], users[2], users[3], users[4], users[5]
	c := f.group(owner, users[1:]...)
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, owner2, chat.Owner))
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, admin, chat.Admin))
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, admin2, chat.Admin))
	for _, pair := range [][2]chat.UserID{{admin, owner}, {admin, admin2}, {member, member2}, {member, admin}, {member, owner}} {
		f.refused(second(f.s.RemoveMember(f.ctx(), c, pair[0], pair[1])), chat.CodeForbidden)
	}
	for _, pair := range [][2]chat.UserID{{admin, member}, {owner, admin}, {owner2, owner}} {
		must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, pair[0], pair[1]))
	}
	f.equal("who remains", f.members(c), sorted(owner2, admin2, member2))
}

func succession(f *fixture) {
	users := f.users(4)
	c := f.group(users[0], users[1], users[2])
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, users[0], users[2], chat.Admin))
	before := f.summary(c, users[1]).Rev
	ch := must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[0], users[0]))
	f.equal("one change", ch.Conversation.Rev, before+1)
	f.equal("the admin", f.summary(c, users[2]).Role, chat.Owner)
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, users[2], []chat.UserID{users[3]}))
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[2], users[2]))
	f.equal("the one who was in it longest", f.summary(c, users[1]).Role, chat.Owner)
	f.equal("not the newcomer", f.summary(c, users[3]).Role, chat.Member)
	// With a second owner nobody is promoted.
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, users[1], users[3], chat.Owner))
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, users[1], []chat.UserID{users[2]}))
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[3], users[1]))
	f.equal("no one is promoted", f.summary(c, users[2]).Role, chat.Member)
	// The successor has its rights at once.
	title := "mine now"
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[3], users[3]))
	must[store.Change](f)(f.s.UpdateConversation(f.ctx(), c, users[2], &title, nil))
}

func setRoles(f *fixture) {
	users := f.users(3)
	owner, u, other := users[0], users[1], users[2]
	c := f.group(owner, u, other)
	ch := must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, u, chat.Admin))
	f.equal("changed", ch.Changed, true)
	f.equal("a change of membership", ch.Conversation.MembersRev, ch.Conversation.Rev)
	f.equal("role", f.summary(c, u).Role, chat.Admin)
	ch = must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, u, chat.Admin))
	f.equal("again", ch.Changed, false)
	f.refused(second(f.s.SetRole(f.ctx(), c, u, other, chat.Admin)), chat.CodeForbidden)
	f.refused(second(f.s.SetRole(f.ctx(), c, owner, u, "king")), chat.CodeInvalid)
	f.refused(second(f.s.SetRole(f.ctx(), c, owner, u, "")), chat.CodeInvalid)
	f.refused(second(f.s.SetRole(f.ctx(), c, owner, f.user(), chat.Admin)), chat.CodeNotFound)
	f.refused(second(f.s.SetRole(f.ctx(), f.direct(owner, u), owner, u, chat.Owner)), chat.CodeForbidden)
	// There is always an owner.
	f.refused(second(f.s.SetRole(f.ctx(), c, owner, owner, chat.Member)), chat.CodeForbidden)
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, other, chat.Owner))
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, owner, chat.Member))
	f.refused(second(f.s.SetRole(f.ctx(), c, owner, u, chat.Member)), chat.CodeForbidden)
	f.equal("roles", []chat.Role{f.summary(c, owner).Role, f.summary(c, u).Role, f.summary(c, other).Role},
		[]chat.Role{chat.Member, chat.Admin, chat.Owner})
}

func comeBack(f *fixture) {
	owner, u := f.user(), f.user()
	c := f.channel(owner, u)
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, u, chat.Admin))
	f.sendN(c, owner, 5)
	f.mark(c, u, 2, 2)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, u, u))
	f.sendN(c, owner, 4)
	ch := must[store.Change](f)(f.s.Join(f.ctx(), c, u))
	f.equal("joined", ch.Joined, []chat.UserID{u})
	s := f.summary(c, u)
	f.equal("an old role does not come back", s.Role, chat.Member)
	f.equal("nothing is unread", []int64{s.Read, s.Unread}, []int64{9, 0})
	f.equal("history", len(f.history(c, u)), 9)
	f.sendN(c, owner, 1)
	f.equal("unread counts on", f.summary(c, u).Unread, int64(1))
	f.equal("members", f.members(c), sorted(owner, u))
}

func listMembers(f *fixture) {
	users := sorted(f.users(5)...)
	c := f.group(users[2], users...)
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, users[2], users[0], chat.Admin))
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[2], users[3]))
	f.sendN(c, users[0], 3)
	f.mark(c, users[1], 2, 3)
	var got []chat.Membership
	for after := chat.UserID(0); ; {
		page := must[[]chat.Membership](f)(f.s.MembersOf(f.ctx(), c, users[4], "", after, 1))
		if len(page) == 0 {
			break
		}
		f.recent("JoinedAt", page[0].JoinedAt)
		page[0].JoinedAt = time.Time{}
		got = append(got, page[0])
		after = page[0].User
	}
	f.equal("paged", got, []chat.Membership{
		{Conversation: c, User: users[0], Role: chat.Admin},
		{Conversation: c, User: users[1], Role: chat.Member, Read: 2, Received: 3},
		{Conversation: c, User: users[2], Role: chat.Owner},
		{Conversation: c, User: users[4], Role: chat.Member},
	})
	f.equal("at once", len(must[[]chat.Membership](f)(f.s.MembersOf(f.ctx(), c, users[4], "", users[0], 100))), 3)
	// By a part of a name, which those may have too who are not members any more.
	display := "The Visitor " + unique("x")
	for _, u := range []chat.UserID{users[1], users[3], users[4]} {
		must[chat.User](f)(f.s.UpdateUser(f.ctx(), u, store.UserChange{DisplayName: &display}))
	}
	search := func(text string, after chat.UserID, limit int) (found []chat.UserID) {
		for _, m := range must[[]chat.Membership](f)(f.s.MembersOf(f.ctx(), c, users[2], text, after, limit)) {
			found = append(found, m.User)
		}
		return found
	}
	f.equal("search", search("VISITOR", 0, 100), []chat.UserID{users[1], users[4]})
	f.equal("search, first page", search("visitor", 0, 1), []chat.UserID{users[1]})
	f.equal("search, next page", search("visitor", users[1], 100), []chat.UserID{users[4]})
	f.equal("search for what nobody is called", search("%", 0, 100), []chat.UserID(nil))
	name := must[[]chat.User](f)(f.s.Users(f.ctx(), users[:1]))[0].Name
	f.equal("search by name", search(name, 0, 100), users[:1])
	ids, rev, err := f.s.MemberIDs(f.ctx(), c)
	f.noError(err)
	f.equal("ids", ids, []chat.UserID{users[0], users[1], users[2], users[4]})
	f.equal("of rev", rev, int64(3))
}

func sharesConversation(f *fixture) {
	users := f.users(6)
	u := users[0]
	f.group(u, users[1])
	f.direct(users[2], u)
	left := f.group(u, users[3])
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, users[3], users[3]))
	left = f.group(users[4], u)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, u, u))
	got := must[[]bool](f)(f.s.ShareConversation(f.ctx(), []store.UserPair{
		{User: u, Other: 1},
		{User: u, Other: users[1]},
		{User: users[2], Other: u},
		{User: u, Other: users[2]},
		{User: u, Other: users[3]},
		{User: u, Other: users[4]},
		{User: users[4], Other: u},
		{User: users[1], Other: users[2]},
		{User: users[5], Other: u},
		{User: users[1], Other: u},
		{User: 1, Other: 1},
	}))
	f.equal("shared", got, []bool{false, true, true, true, false, false, false, false, false, true, false})
	f.equal("no pair", len(must[[]bool](f)(f.s.ShareConversation(f.ctx(), nil))), 0)
}

func (f *fixture) mark(c chat.ConversationID, u chat.UserID, read, received int64) (chat.Membership, bool) {
	f.Helper()
	m, moved, err := f.s.Mark(f.ctx(), c, u, read, received)
	f.noError(err)
	return m, moved
}

func marks(f *fixture) {
	owner, u := f.user(), f.user()
	c := f.group(owner, u)
	f.sendN(c, owner, 10)
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
		before := f.summary(c, u)
		m, moved := f.mark(c, u, step.read, step.received)
		f.equal("marks", []int64{m.Read, m.Received}, []int64{step.wantRead, step.wantReceived})
		f.equal("of", []any{m.Conversation, m.User, m.Role}, []any{c, u, chat.Member})
		after := f.summary(c, u)
		f.equal("read", after.Read, step.wantRead)
		f.equal("unread", after.Unread, 10-step.wantRead)
		f.equal("the conversation stays", after.Conversation, before.Conversation)
		again, movedAgain := f.mark(c, u, step.read, step.received)
		f.equal("again", again, m)
		f.equal("again moved", movedAgain, false)
		if !moved && before.Read != after.Read {
			f.Errorf("the mark moved to %d unsaid", after.Read)
		}
	}
	_, moved := f.mark(c, owner, 1, 0)
	f.equal("moved", moved, true)
}

func peerMarks(f *fixture) {
	u, peer := f.user(), f.user()
	c := f.direct(u, peer)
	f.sendN(c, u, 5)
	f.mark(c, peer, 2, 4)
	s := f.summary(c, u)
	f.equal("peer", []int64{s.PeerRead, s.PeerReceived}, []int64{2, 4})
	s = f.summary(c, peer)
	f.equal("the other way", []any{s.Peer, s.PeerRead, s.PeerReceived, s.Unread}, []any{u, int64(0), int64(0), int64(3)})
}
