package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var conversationTests = []testCase{
	{name: "a group is kept as given", run: groupKept},
	{name: "what cannot be made", run: cannotBeMade},
	{name: "a direct conversation is made once", run: directOnce},
	{name: "a direct conversation is made once in a race", run: directRace},
	{name: "non-members cannot see it", run: nonMembers},
	{name: "rename", run: rename},
	{name: "channels", run: channels, fresh: true},
	{name: "audience", run: audiences},
}

func groupKept(f *fixture) {
	users := f.users(3)
	made := must[store.Change](f)(f.s.CreateConversation(f.ctx(), store.NewConversation{
		Kind: chat.Group, Title: "  The 飛脚 group ", Topic: "about", By: users[1],
		Members: []chat.UserID{users[2], users[0], users[2], users[1]},
	}))
	c := made.Conversation
	f.recent("CreatedAt", c.CreatedAt)
	want := chat.Conversation{
		ID: c.ID, Kind: chat.Group, Title: "The 飛脚 group", Topic: "about", Rev: 1, MembersRev: 1, Members: 3,
		CreatedAt: c.CreatedAt, ActiveAt: c.CreatedAt,
	}
	f.equal("made", c, want)
	f.equal("changed", made.Changed, true)
	f.equal("audience", made.Audience, chat.Audience{Conversation: c.ID, MembersRev: 1, Members: sorted(users...)})
	f.equal("joined", sorted(made.Joined...), sorted(users...))
	f.equal("left", made.Left, []chat.UserID(nil))
	for range 2 {
		f.equal("as its owner sees it", f.summary(c.ID, users[1]), chat.Summary{Conversation: want, Role: chat.Owner})
		f.equal("as a member sees it", f.summary(c.ID, users[0]), chat.Summary{Conversation: want, Role: chat.Member})
		f.reopen()
	}
}

func cannotBeMade(f *fixture) {
	u, other, disabled := f.user(), f.user(), f.user()
	off := true
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), disabled, store.UserChange{Disabled: &off}))
	for name, c := range map[string]struct {
		in   store.NewConversation
		code chat.Code
	}{
		"unknown kind":      {store.NewConversation{Kind: "club", Title: "x", By: u}, chat.CodeInvalid},
		"no title":          {store.NewConversation{Kind: chat.Group, Title: " ", By: u}, chat.CodeInvalid},
		"direct with self":  {store.NewConversation{Kind: chat.Direct, By: u, Members: []chat.UserID{u}}, chat.CodeInvalid},
		"direct with none":  {store.NewConversation{Kind: chat.Direct, By: u}, chat.CodeInvalid},
		"direct with two":   {store.NewConversation{Kind: chat.Direct, By: u, Members: []chat.UserID{other, disabled}}, chat.CodeInvalid},
		"unknown member":    {store.NewConversation{Kind: chat.Group, Title: "x", By: u, Members: []chat.UserID{other, 1}}, chat.CodeNotFound},
		"disabled member":   {store.NewConversation{Kind: chat.Group, Title: "x", By: u, Members: []chat.UserID{disabled}}, chat.CodeNotFound},
		"unknown maker":     {store.NewConversation{Kind: chat.Group, Title: "x", By: 1}, chat.CodeNotFound},
		"disabled peer":     {store.NewConversation{Kind: chat.Direct, By: u, Members: []chat.UserID{disabled}}, chat.CodeNotFound},
		"unknown peer":      {store.NewConversation{Kind: chat.Direct, By: u, Members: []chat.UserID{1}}, chat.CodeNotFound},
		"title is too long": {store.NewConversation{Kind: chat.Group, Title: string(make([]byte, 400)), By: u}, chat.CodeInvalid},
	} {
		f.Run(name, func(t *testing.T) {
			_, err := f.s.CreateConversation(f.ctx(), c.in)
			(&fixture{T: t}).refused(err, c.code)
		})
	}
	page := must[[]chat.Summary](f)(f.s.Recent(f.ctx(), u, time.Time{}, 0, 10))
	f.equal("nothing was made", len(page), 0)
}

func directOnce(f *fixture) {
	u, other := f.user(), f.user()
	first := must[store.Change](f)(f.s.CreateConversation(f.ctx(), store.NewConversation{
		Kind: chat.Direct, Title: "ignored", Topic: "ignored", By: u, Members: []chat.UserID{other},
	}))
	f.equal("made", first.Changed, true)
	f.equal("no title", first.Conversation.Title+first.Conversation.Topic, "")
	for _, pair := range [][2]chat.UserID{{u, other}, {other, u}} {
		again := must[store.Change](f)(f.s.CreateConversation(f.ctx(), store.NewConversation{
			Kind: chat.Direct, By: pair[0], Members: []chat.UserID{pair[1]},
		}))
		f.equal("again", again, store.Change{Conversation: first.Conversation, Audience: first.Audience})
	}
	mine := f.summary(first.Conversation.ID, u)
	f.equal("role", mine.Role, chat.Member)
	f.equal("peer", mine.Peer, other)
	f.equal("the other's peer", f.summary(first.Conversation.ID, other).Peer, u)
	// It is still found when the other user's account was disabled.
	off := true
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), other, store.UserChange{Disabled: &off}))
	f.equal("found", f.direct(u, other), first.Conversation.ID)
	// Another pair gets another one.
	if third := f.user(); f.direct(u, third) == first.Conversation.ID {
		f.Error("two pairs share a conversation")
	}
}

func directRace(f *fixture) {
	u, other := f.user(), f.user()
	var mu sync.Mutex
	ids, made := map[chat.ConversationID]bool{}, 0
	parallel(f, 8, func(i int) {
		by, with := u, other
		if i%2 == 1 {
			by, with = other, u
		}
		c, err := f.s.CreateConversation(f.ctx(), store.NewConversation{Kind: chat.Direct, By: by, Members: []chat.UserID{with}})
		if err != nil {
			f.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids[c.Conversation.ID] = true
		if c.Changed {
			made++
		}
	})
	f.equal("conversations", len(ids), 1)
	f.equal("made", made, 1)
}

// nonMembers calls every method for a user who may not see the conversation,
// and for a conversation that does not exist.
func nonMembers(f *fixture) {
	owner, outsider := f.user(), f.user()
	c := f.group(owner)
	f.send(c, owner, "private")
	title := "x"
	for _, id := range []chat.ConversationID{c, 1} {
		for name, err := range map[string]error{
			"Conversation":       second(f.s.Conversation(f.ctx(), id, outsider)),
			"UpdateConversation": second(f.s.UpdateConversation(f.ctx(), id, outsider, &title, nil)),
			"Join":               second(f.s.Join(f.ctx(), id, outsider)),
			"AddMembers":         second(f.s.AddMembers(f.ctx(), id, outsider, []chat.UserID{outsider})),
			"RemoveMember":       second(f.s.RemoveMember(f.ctx(), id, outsider, owner)),
			"leave":              second(f.s.RemoveMember(f.ctx(), id, outsider, outsider)),
			"SetRole":            second(f.s.SetRole(f.ctx(), id, outsider, owner, chat.Member)),
			"MembersOf":          second(f.s.MembersOf(f.ctx(), id, outsider, "", 0, 10)),
			"Mark":               third(f.s.Mark(f.ctx(), id, outsider, 1, 1)),
			"CreateLink":         second(f.s.CreateLink(f.ctx(), store.Link{Conversation: id, Invitation: store.Invitation{CreatedBy: outsider, Token: token(), ExpiresAt: ms(0)}})),
			"LinksOf":            second(f.s.LinksOf(f.ctx(), id, outsider, ms(0))),
			"DeleteLink":         f.s.DeleteLink(f.ctx(), id, outsider, 1),
			"EditMessage":        second(f.s.EditMessage(f.ctx(), id, 1, outsider, "x")),
			"DeleteMessage":      second(f.s.DeleteMessage(f.ctx(), id, 1, outsider)),
			"History":            second(f.s.History(f.ctx(), id, outsider, 1, 10, false, 10)),
			"Changes":            third(f.s.Changes(f.ctx(), id, outsider, 0, 10)),
		} {
			if chat.CodeOf(err) != chat.CodeNotFound {
				f.Errorf("%s: got %v, want %s", name, err, chat.CodeNotFound)
			}
		}
		if o := f.append(submission(id, outsider, "x"))[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
			f.Errorf("Append: %+v", o)
		}
	}
	_, err := f.s.Audience(f.ctx(), 1)
	f.refused(err, chat.CodeNotFound)
	_, _, err = f.s.MemberIDs(f.ctx(), 1)
	f.refused(err, chat.CodeNotFound)
	f.equal("nothing happened", f.summary(c, owner).Rev, int64(2))
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

func rename(f *fixture) {
	owner, admin, member := f.user(), f.user(), f.user()
	c := f.group(owner, admin, member)
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, admin, chat.Admin))
	before := f.summary(c, owner)
	title, topic, bad := "New title", " New topic ", "two\nlines"
	ch := must[store.Change](f)(f.s.UpdateConversation(f.ctx(), c, admin, &title, nil))
	want := before.Conversation
	want.Title, want.Rev = title, want.Rev+1
	f.equal("after the title", ch.Conversation, want)
	f.equal("changed", ch.Changed, true)
	f.equal("audience", ch.Audience.Members, sorted(owner, admin, member))
	ch = must[store.Change](f)(f.s.UpdateConversation(f.ctx(), c, owner, &title, &topic))
	want.Topic, want.Rev = "New topic", want.Rev+1
	f.equal("after the topic", ch.Conversation, want)
	ch = must[store.Change](f)(f.s.UpdateConversation(f.ctx(), c, owner, &title, &topic))
	f.equal("the same again", ch, store.Change{Conversation: want, Audience: ch.Audience})
	ch = must[store.Change](f)(f.s.UpdateConversation(f.ctx(), c, owner, nil, nil))
	f.equal("nothing", ch.Changed, false)
	f.equal("read", f.summary(c, member).Conversation, want)

	f.refused(second(f.s.UpdateConversation(f.ctx(), c, member, &title, nil)), chat.CodeForbidden)
	f.refused(second(f.s.UpdateConversation(f.ctx(), c, owner, &bad, nil)), chat.CodeInvalid)
	f.refused(second(f.s.UpdateConversation(f.ctx(), f.direct(owner, member), owner, &title, nil)), chat.CodeForbidden)
}

func channels(f *fixture) {
	u, member := f.user(), f.user()
	ids := map[string]chat.ConversationID{}
	for _, c := range []struct{ title, topic string }{
		{"banana", "Yellow FRUIT"}, {"apple", "red fruit"}, {"cherry", "100% sweet_"}, {"apple", "the second"},
	} {
		made := must[store.Change](f)(f.s.CreateConversation(f.ctx(), store.NewConversation{
			Kind: chat.Channel, Title: c.title, Topic: c.topic, By: u,
		}))
		ids[c.title+"/"+c.topic] = made.Conversation.ID
	}
	f.group(u, member)
	f.direct(u, member)
	must[store.Change](f)(f.s.Join(f.ctx(), ids["banana/Yellow FRUIT"], member))
	must[store.Change](f)(f.s.Join(f.ctx(), ids["cherry/100% sweet_"], member))
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), ids["cherry/100% sweet_"], member, member))

	list := func(text string, limit int) (out []string, in []bool) {
		title, id := "", chat.ConversationID(0)
		for {
			page, member, err := f.s.Channels(f.ctx(), member, text, title, id, limit)
			f.noError(err)
			if len(page) != len(member) {
				f.Fatalf("%d channels and %d answers", len(page), len(member))
			}
			if len(page) == 0 {
				return out, in
			}
			for i, c := range page {
				out, in = append(out, c.Title+"/"+c.Topic), append(in, member[i])
				title, id = c.Title, c.ID
			}
		}
	}
	all := []string{"apple/red fruit", "apple/the second", "banana/Yellow FRUIT", "cherry/100% sweet_"}
	for _, limit := range []int{1, 2, 100} {
		got, in := list("", limit)
		f.equal("all", got, all)
		f.equal("member", in, []bool{false, false, true, false})
	}
	for text, want := range map[string][]string{
		"APPLE": all[:2], "#äpple": all[:2], "fruit": {all[0], all[2]}, "%": {all[3]}, "t_": {all[3]}, "title": nil, "xyz": nil,
	} {
		got, _ := list(text, 1)
		f.equal("search "+text, got, want)
	}
}

func audiences(f *fixture) {
	users := f.users(chat.SmallConversation + 1)
	c := f.group(users[0], users[1:chat.SmallConversation]...)
	a := must[chat.Audience](f)(f.s.Audience(f.ctx(), c))
	f.equal("small", a, chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(users[:chat.SmallConversation]...)})

	ch := must[store.Change](f)(f.s.AddMembers(f.ctx(), c, users[0], users[chat.SmallConversation:]))
	a = must[chat.Audience](f)(f.s.Audience(f.ctx(), c))
	f.equal("large", a, chat.Audience{Conversation: c, MembersRev: 2})
	for what, got := range map[string]chat.Audience{
		"of the change": ch.Audience, "read": a,
		"of a message": f.append(submission(c, users[3], "x"))[0].Audience,
	} {
		if !got.Large() {
			f.Errorf("the audience %s is not large", what)
		}
	}
	// A large conversation checks membership as well.
	outsider := f.user()
	if o := f.append(submission(c, outsider, "x"))[0]; o.Refusal == nil {
		f.Error("a outsider posted in a large conversation")
	}
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, users[0], []chat.UserID{outsider}))
	f.send(c, outsider, "now a member")
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[0], outsider))
	if o := f.append(submission(c, outsider, "x"))[0]; o.Refusal == nil {
		f.Error("a removed member posted in a large conversation")
	}
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, users[0], users[5]))
	a = must[chat.Audience](f)(f.s.Audience(f.ctx(), c))
	f.equal("small again", len(a.Members), chat.SmallConversation)

	// An empty conversation is not a large one.
	alone := f.group(users[0])
	ch = must[store.Change](f)(f.s.RemoveMember(f.ctx(), alone, users[0], users[0]))
	for _, a := range []chat.Audience{ch.Audience, must[chat.Audience](f)(f.s.Audience(f.ctx(), alone))} {
		if a.Large() || len(a.Members) > 0 {
			f.Errorf("the audience of an empty group is %+v", a)
		}
	}
}
