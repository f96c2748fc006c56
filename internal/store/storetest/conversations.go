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
	{name: "strangers do not know of it", run: strangers},
	{name: "rename", run: rename},
	{name: "channels", run: channels, fresh: true},
	{name: "audience", run: audiences},
}

func groupKept(w *world) {
	people := w.users(3)
	made := must[store.Change](w)(w.s.CreateConversation(w.ctx(), store.NewConversation{
		Kind: chat.Group, Title: "  The 飛脚 group ", Topic: "about", By: people[1],
		Members: []chat.UserID{people[2], people[0], people[2], people[1]},
	}))
	c := made.Conversation
	w.recent("CreatedAt", c.CreatedAt)
	want := chat.Conversation{
		ID: c.ID, Kind: chat.Group, Title: "The 飛脚 group", Topic: "about", Rev: 1, MembersRev: 1, Members: 3,
		CreatedAt: c.CreatedAt, ActiveAt: c.CreatedAt,
	}
	w.same("made", c, want)
	w.same("changed", made.Changed, true)
	w.same("audience", made.Audience, chat.Audience{Conversation: c.ID, MembersRev: 1, Members: sorted(people...)})
	w.same("joined", sorted(made.Joined...), sorted(people...))
	w.same("left", made.Left, []chat.UserID(nil))
	for range 2 {
		w.same("as its owner sees it", w.summary(c.ID, people[1]), chat.Summary{Conversation: want, Role: chat.Owner})
		w.same("as a member sees it", w.summary(c.ID, people[0]), chat.Summary{Conversation: want, Role: chat.Member})
		w.reopen()
	}
}

func cannotBeMade(w *world) {
	u, other, disabled := w.user(), w.user(), w.user()
	off := true
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), disabled, store.UserChange{Disabled: &off}))
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
		w.Run(name, func(t *testing.T) {
			_, err := w.s.CreateConversation(w.ctx(), c.in)
			(&world{T: t}).refused(err, c.code)
		})
	}
	page := must[[]chat.Summary](w)(w.s.Recent(w.ctx(), u, time.Time{}, 0, 10))
	w.same("nothing was made", len(page), 0)
}

func directOnce(w *world) {
	u, other := w.user(), w.user()
	first := must[store.Change](w)(w.s.CreateConversation(w.ctx(), store.NewConversation{
		Kind: chat.Direct, Title: "ignored", Topic: "ignored", By: u, Members: []chat.UserID{other},
	}))
	w.same("made", first.Changed, true)
	w.same("no title", first.Conversation.Title+first.Conversation.Topic, "")
	for _, pair := range [][2]chat.UserID{{u, other}, {other, u}} {
		again := must[store.Change](w)(w.s.CreateConversation(w.ctx(), store.NewConversation{
			Kind: chat.Direct, By: pair[0], Members: []chat.UserID{pair[1]},
		}))
		w.same("again", again, store.Change{Conversation: first.Conversation, Audience: first.Audience})
	}
	mine := w.summary(first.Conversation.ID, u)
	w.same("role", mine.Role, chat.Member)
	w.same("peer", mine.Peer, other)
	w.same("the other's peer", w.summary(first.Conversation.ID, other).Peer, u)
	// It can still be found when the other person's account was disabled.
	off := true
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), other, store.UserChange{Disabled: &off}))
	w.same("found", w.direct(u, other), first.Conversation.ID)
	// Another pair gets another one.
	if third := w.user(); w.direct(u, third) == first.Conversation.ID {
		w.Error("two pairs share a conversation")
	}
}

func directRace(w *world) {
	u, other := w.user(), w.user()
	var mu sync.Mutex
	ids, made := map[chat.ConversationID]bool{}, 0
	parallel(w, 8, func(i int) {
		by, with := u, other
		if i%2 == 1 {
			by, with = other, u
		}
		c, err := w.s.CreateConversation(w.ctx(), store.NewConversation{Kind: chat.Direct, By: by, Members: []chat.UserID{with}})
		if err != nil {
			w.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids[c.Conversation.ID] = true
		if c.Changed {
			made++
		}
	})
	w.same("conversations", len(ids), 1)
	w.same("made", made, 1)
}

// strangers tries every method with someone who may not know of the
// conversation, and with a conversation that does not exist.
func strangers(w *world) {
	owner, stranger := w.user(), w.user()
	c := w.group(owner)
	w.send(c, owner, "private")
	title := "x"
	for _, id := range []chat.ConversationID{c, 1} {
		for name, err := range map[string]error{
			"Conversation":       second(w.s.Conversation(w.ctx(), id, stranger)),
			"UpdateConversation": second(w.s.UpdateConversation(w.ctx(), id, stranger, &title, nil)),
			"Join":               second(w.s.Join(w.ctx(), id, stranger)),
			"AddMembers":         second(w.s.AddMembers(w.ctx(), id, stranger, []chat.UserID{stranger})),
			"RemoveMember":       second(w.s.RemoveMember(w.ctx(), id, stranger, owner)),
			"leave":              second(w.s.RemoveMember(w.ctx(), id, stranger, stranger)),
			"SetRole":            second(w.s.SetRole(w.ctx(), id, stranger, owner, chat.Member)),
			"MembersOf":          second(w.s.MembersOf(w.ctx(), id, stranger, 0, 10)),
			"Mark":               third(w.s.Mark(w.ctx(), id, stranger, 1, 1)),
			"CreateLink":         second(w.s.CreateLink(w.ctx(), store.Link{Conversation: id, Invitation: store.Invitation{CreatedBy: stranger, Token: token(), ExpiresAt: ms(0)}})),
			"LinksOf":            second(w.s.LinksOf(w.ctx(), id, stranger, ms(0))),
			"DeleteLink":         w.s.DeleteLink(w.ctx(), id, stranger, 1),
			"EditMessage":        second(w.s.EditMessage(w.ctx(), id, 1, stranger, "x")),
			"DeleteMessage":      second(w.s.DeleteMessage(w.ctx(), id, 1, stranger)),
			"History":            second(w.s.History(w.ctx(), id, stranger, 1, 10, false, 10)),
			"Changes":            second(w.s.Changes(w.ctx(), id, stranger, 0, 10)),
		} {
			if chat.CodeOf(err) != chat.CodeNotFound {
				w.Errorf("%s: got %v, want %s", name, err, chat.CodeNotFound)
			}
		}
		if o := w.append(submission(id, stranger, "x"))[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
			w.Errorf("Append: %+v", o)
		}
	}
	_, err := w.s.Audience(w.ctx(), 1)
	w.refused(err, chat.CodeNotFound)
	_, _, err = w.s.MemberIDs(w.ctx(), 1)
	w.refused(err, chat.CodeNotFound)
	w.same("nothing happened", w.summary(c, owner).Rev, int64(2))
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

func rename(w *world) {
	owner, admin, member := w.user(), w.user(), w.user()
	c := w.group(owner, admin, member)
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, admin, chat.Admin))
	before := w.summary(c, owner)
	title, topic, bad := "New title", " New topic ", "two\nlines"
	ch := must[store.Change](w)(w.s.UpdateConversation(w.ctx(), c, admin, &title, nil))
	want := before.Conversation
	want.Title, want.Rev = title, want.Rev+1
	w.same("after the title", ch.Conversation, want)
	w.same("changed", ch.Changed, true)
	w.same("audience", ch.Audience.Members, sorted(owner, admin, member))
	ch = must[store.Change](w)(w.s.UpdateConversation(w.ctx(), c, owner, &title, &topic))
	want.Topic, want.Rev = "New topic", want.Rev+1
	w.same("after the topic", ch.Conversation, want)
	ch = must[store.Change](w)(w.s.UpdateConversation(w.ctx(), c, owner, &title, &topic))
	w.same("the same again", ch, store.Change{Conversation: want, Audience: ch.Audience})
	ch = must[store.Change](w)(w.s.UpdateConversation(w.ctx(), c, owner, nil, nil))
	w.same("nothing", ch.Changed, false)
	w.same("read", w.summary(c, member).Conversation, want)

	w.refused(second(w.s.UpdateConversation(w.ctx(), c, member, &title, nil)), chat.CodeForbidden)
	w.refused(second(w.s.UpdateConversation(w.ctx(), c, owner, &bad, nil)), chat.CodeInvalid)
	w.refused(second(w.s.UpdateConversation(w.ctx(), w.direct(owner, member), owner, &title, nil)), chat.CodeForbidden)
}

func channels(w *world) {
	u, member := w.user(), w.user()
	ids := map[string]chat.ConversationID{}
	for _, c := range []struct{ title, topic string }{
		{"banana", "Yellow FRUIT"}, {"apple", "red fruit"}, {"cherry", "100% sweet_"}, {"apple", "the second"},
	} {
		made := must[store.Change](w)(w.s.CreateConversation(w.ctx(), store.NewConversation{
			Kind: chat.Channel, Title: c.title, Topic: c.topic, By: u,
		}))
		ids[c.title+"/"+c.topic] = made.Conversation.ID
	}
	w.group(u, member)
	w.direct(u, member)
	must[store.Change](w)(w.s.Join(w.ctx(), ids["banana/Yellow FRUIT"], member))
	must[store.Change](w)(w.s.Join(w.ctx(), ids["cherry/100% sweet_"], member))
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), ids["cherry/100% sweet_"], member, member))

	list := func(text string, limit int) (out []string, in []bool) {
		title, id := "", chat.ConversationID(0)
		for {
			page, member, err := w.s.Channels(w.ctx(), member, text, title, id, limit)
			w.nothing(err)
			if len(page) != len(member) {
				w.Fatalf("%d channels and %d answers", len(page), len(member))
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
		w.same("all", got, all)
		w.same("member", in, []bool{false, false, true, false})
	}
	for text, want := range map[string][]string{
		"APPLE": all[:2], "fruit": {all[0], all[2]}, "%": {all[3]}, "t_": {all[3]}, "title": nil, "xyz": nil,
	} {
		got, _ := list(text, 1)
		w.same("search "+text, got, want)
	}
}

func audiences(w *world) {
	people := w.users(chat.SmallConversation + 1)
	c := w.group(people[0], people[1:chat.SmallConversation]...)
	a := must[chat.Audience](w)(w.s.Audience(w.ctx(), c))
	w.same("small", a, chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(people[:chat.SmallConversation]...)})

	ch := must[store.Change](w)(w.s.AddMembers(w.ctx(), c, people[0], people[chat.SmallConversation:]))
	a = must[chat.Audience](w)(w.s.Audience(w.ctx(), c))
	w.same("large", a, chat.Audience{Conversation: c, MembersRev: 2})
	for what, got := range map[string]chat.Audience{
		"of the change": ch.Audience, "read": a,
		"of a message": w.append(submission(c, people[3], "x"))[0].Audience,
	} {
		if !got.Large() {
			w.Errorf("the audience %s is not large", what)
		}
	}
	// In a large conversation membership still counts.
	stranger := w.user()
	if o := w.append(submission(c, stranger, "x"))[0]; o.Refusal == nil {
		w.Error("a stranger posted in a large conversation")
	}
	must[store.Change](w)(w.s.AddMembers(w.ctx(), c, people[0], []chat.UserID{stranger}))
	w.send(c, stranger, "now a member")
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[0], stranger))
	if o := w.append(submission(c, stranger, "x"))[0]; o.Refusal == nil {
		w.Error("a removed member posted in a large conversation")
	}
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, people[0], people[5]))
	a = must[chat.Audience](w)(w.s.Audience(w.ctx(), c))
	w.same("small again", len(a.Members), chat.SmallConversation)

	// Nobody is left, which is not the same as large.
	alone := w.group(people[0])
	ch = must[store.Change](w)(w.s.RemoveMember(w.ctx(), alone, people[0], people[0]))
	for _, a := range []chat.Audience{ch.Audience, must[chat.Audience](w)(w.s.Audience(w.ctx(), alone))} {
		if a.Large() || len(a.Members) > 0 {
			w.Errorf("the audience of an empty group is %+v", a)
		}
	}
}
