package storetest

import (
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var batchTests = []testCase{
	{name: "accounts are logged in and cannot log in", run: batchUsers, fresh: true},
	{name: "all names are free or nothing is made", run: batchNames},
	{name: "a thousand accounts", run: batchThousand},
	{name: "conversations are made as any other", run: batchConversations},
	{name: "a room with members beyond counting", run: batchLargeRoom},
	{name: "conversations of others are refused", run: batchStrangers},
}

// crowd makes accounts of a batch, and gives the hashes of their tokens.
func (w *world) crowd(batch string, n int) (people []chat.UserID, tokens [][]byte) {
	w.Helper()
	in := make([]store.NewBatchUser, n)
	for i := range in {
		name := unique("guest")
		tokens = append(tokens, token())
		in[i] = store.NewBatchUser{
			NewUser: store.NewUser{Name: name, Skeleton: name, DisplayName: "Display " + name},
			Session: store.Session{Token: tokens[i], Device: "bulk", CreatedAt: ms(0), SeenAt: ms(0), ExpiresAt: ms(time.Hour)},
		}
	}
	for _, u := range must[[]store.BatchUser](w)(w.s.CreateBatchUsers(w.ctx(), batch, in)) {
		people = append(people, u.User.ID)
	}
	return people, tokens
}

func (w *world) batch(name string) store.Batch {
	w.Helper()
	for _, b := range must[[]store.Batch](w)(w.s.Batches(w.ctx())) {
		if b.Name == name {
			return b
		}
	}
	return store.Batch{}
}

func batchUsers(w *world) {
	in := []store.NewBatchUser{
		{NewUser: store.NewUser{Name: "one", Skeleton: "0ne", DisplayName: "The One", Admin: true}, Session: store.Session{
			Token: token(), Device: "bulk", CreatedAt: ms(0), SeenAt: ms(-time.Second), ExpiresAt: ms(time.Hour),
		}},
		{NewUser: store.NewUser{Name: "two", Skeleton: "tw0", DisplayName: "Two"}, Session: store.Session{Token: token(), ExpiresAt: ms(time.Hour)}},
	}
	made := must[[]store.BatchUser](w)(w.s.CreateBatchUsers(w.ctx(), "crew", in))
	w.same("made", len(made), 2)
	for range 2 {
		for i, m := range made {
			want := chat.User{ID: m.User.ID, Name: in[i].Name, DisplayName: in[i].DisplayName, CreatedAt: m.User.CreatedAt}
			w.same("account", m.User, want)
			s, u, err := w.s.SessionByToken(w.ctx(), in[i].Session.Token, time.Now())
			w.nothing(err)
			w.same("of the session", u, want)
			in[i].Session.ID, in[i].Session.User = m.Session, m.User.ID
			w.same("session", s, in[i].Session)
			_, password, err := w.s.Credentials(w.ctx(), in[i].Name)
			w.nothing(err)
			w.same("password", password, "")
		}
		w.reopen()
	}
	w.recent("CreatedAt", made[0].User.CreatedAt)
	w.same("found by search", len(must[[]chat.User](w)(w.s.SearchUsers(w.ctx(), "THE", "", 9))), 1)
	w.crowd("crew", 3)
	w.crowd("another", 1)
	list := must[[]store.Batch](w)(w.s.Batches(w.ctx()))
	w.same("batches", len(list), 2)
	w.recent("CreatedAt", list[0].CreatedAt)
	for i := range list {
		list[i].CreatedAt = time.Time{}
	}
	w.same("batches", list, []store.Batch{{Name: "another", Accounts: 1}, {Name: "crew", Accounts: 5}})
}

func batchNames(w *world) {
	taken := unique("taken")
	must[chat.User](w)(w.s.CreateUser(w.ctx(), store.NewUser{Name: taken, Skeleton: taken + "-looks", DisplayName: "x"}, nil))
	for what, bad := range map[string]store.NewUser{
		"a name":     {Name: taken, Skeleton: unique("free")},
		"a skeleton": {Name: unique("free"), Skeleton: taken + "-looks"},
		"twice":      {Name: "twin", Skeleton: unique("free")},
	} {
		batch := unique("batch")
		_, err := w.s.CreateBatchUsers(w.ctx(), batch, []store.NewBatchUser{
			{NewUser: store.NewUser{Name: "twin", Skeleton: "twin"}, Session: store.Session{Token: token()}},
			{NewUser: bad, Session: store.Session{Token: token()}},
			{NewUser: store.NewUser{Name: unique("free"), Skeleton: unique("free")}, Session: store.Session{Token: token()}},
		})
		w.refused(err, chat.CodeNameTaken)
		if err != nil && !strings.Contains(err.Error(), bad.Name) {
			w.Errorf("%s: the refusal does not name %s: %v", what, bad.Name, err)
		}
		w.same("batch", w.batch(batch), store.Batch{})
		_, _, err = w.s.Credentials(w.ctx(), "twin")
		w.refused(err, chat.CodeNotFound)
	}
}

func batchThousand(w *world) {
	batch := unique("batch")
	people, tokens := w.crowd(batch, chat.MaxBatchUsers)
	w.same("accounts", w.batch(batch).Accounts, chat.MaxBatchUsers)
	for _, i := range []int{0, 499, 999} {
		_, u, err := w.s.SessionByToken(w.ctx(), tokens[i], time.Now())
		w.nothing(err)
		w.same("account", u.ID, people[i])
	}
}

func batchConversations(w *world) {
	batch := unique("batch")
	p, _ := w.crowd(batch, 4)
	devices := make([]*device, len(p))
	for i := range p {
		devices[i] = newDevice(p[i])
		devices[i].sync(w, 9)
	}
	list := []store.NewConversation{
		{Kind: chat.Direct, By: p[0], Members: p[1:2]},
		{Kind: chat.Direct, By: p[2], Members: p[3:]},
		{Kind: chat.Group, Title: "group", By: p[1], Members: p},
		{Kind: chat.Channel, Title: "channel", Topic: "topic", By: p[3]},
	}
	made := must[[]store.Change](w)(w.s.CreateBatchConversations(w.ctx(), batch, list))
	w.same("made", len(made), len(list))
	for i, c := range made {
		w.same("changed", c.Changed, true)
		w.same("kind", c.Conversation.Kind, list[i].Kind)
		role := chat.Owner
		if list[i].Kind == chat.Direct {
			role = chat.Member
		}
		w.same("its maker's role", w.summary(c.Conversation.ID, list[i].By).Role, role)
	}
	w.same("audience", made[2].Audience, chat.Audience{Conversation: made[2].Conversation.ID, MembersRev: 1, Members: sorted(p...)})
	for i, want := range []int{2, 2, 2, 3} {
		changed, _ := devices[i].sync(w, 2)
		w.same("conversations of one", len(changed), want)
	}
	w.send(made[0].Conversation.ID, p[1], "hello")
	// A pair that talks already is found.
	again := must[[]store.Change](w)(w.s.CreateBatchConversations(w.ctx(), batch, list[:1]))
	w.same("again", []any{again[0].Changed, again[0].Conversation.ID}, []any{false, made[0].Conversation.ID})
}

func batchLargeRoom(w *world) {
	batch := unique("batch")
	p, _ := w.crowd(batch, chat.MaxBatchUsers)
	made := must[[]store.Change](w)(w.s.CreateBatchConversations(w.ctx(), batch, []store.NewConversation{{Kind: chat.Group, Title: "hall", By: p[7], Members: p}}))
	id := made[0].Conversation.ID
	w.same("members", w.members(id), sorted(p...))
	w.same("large", made[0].Audience, chat.Audience{Conversation: id, MembersRev: 1})
	w.send(id, p[999], "from the last row")
	d := newDevice(p[500])
	d.sync(w, 9)
	w.same("what a member sees", d.known[id], w.summary(id, p[500]))
	w.same("count", d.known[id].Members, len(p))
}

func batchStrangers(w *world) {
	batch := unique("batch")
	p, _ := w.crowd(batch, 3)
	other, _ := w.crowd(unique("batch"), 1)
	outsider, off := w.user(), true
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), p[2], store.UserChange{Disabled: &off}))
	for what, c := range map[string]store.NewConversation{
		"an outsider":        {Kind: chat.Group, Title: "x", By: p[0], Members: []chat.UserID{outsider}},
		"an outsider's":      {Kind: chat.Direct, By: outsider, Members: p[:1]},
		"of another batch":   {Kind: chat.Direct, By: p[0], Members: other},
		"a disabled account": {Kind: chat.Direct, By: p[0], Members: p[2:]},
		"nobody":             {Kind: chat.Direct, By: p[0], Members: []chat.UserID{1}},
		"no title":           {Kind: chat.Group, By: p[0]},
	} {
		good := store.NewConversation{Kind: chat.Group, Title: "good", By: p[0], Members: p[1:2]}
		_, err := w.s.CreateBatchConversations(w.ctx(), batch, []store.NewConversation{good, c})
		if chat.CodeOf(err) != chat.CodeInvalid {
			w.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.s.CreateBatchConversations(w.ctx(), unique("batch"), nil)
	w.refused(err, chat.CodeNotFound)
	w.same("nothing was made", len(must[[]chat.Summary](w)(w.s.Recent(w.ctx(), p[0], time.Time{}, 0, 9))), 0)
}
