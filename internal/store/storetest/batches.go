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
	{name: "a large room", run: batchLargeRoom},
	{name: "conversations of others are refused", run: batchNonMembers},
}

// batchUsers creates accounts of a batch and returns them with the hashes of
// their tokens.
func (f *fixture) batchUsers(batch string, n int) (users []chat.UserID, tokens [][]byte) {
	f.Helper()
	in := make([]store.NewBatchUser, n)
	for i := range in {
		name := unique("guest")
		tokens = append(tokens, token())
		in[i] = store.NewBatchUser{
			NewUser: store.NewUser{Name: name, Skeleton: name, DisplayName: "Display " + name},
			Session: store.Session{Token: tokens[i], Device: "bulk", CreatedAt: ms(0), SeenAt: ms(0), ExpiresAt: ms(time.Hour)},
		}
	}
	for _, u := range must[[]store.BatchUser](f)(f.s.CreateBatchUsers(f.ctx(), batch, in)) {
		users = append(users, u.User.ID)
	}
	return users, tokens
}

func (f *fixture) batch(name string) store.Batch {
	f.Helper()
	for _, b := range must[[]store.Batch](f)(f.s.Batches(f.ctx())) {
		if b.Name == name {
			return b
		}
	}
	return store.Batch{}
}

func batchUsers(f *fixture) {
	in := []store.NewBatchUser{
		{NewUser: store.NewUser{Name: "one", Skeleton: "0ne", DisplayName: "The One", Admin: true}, Session: store.Session{
			Token: token(), Device: "bulk", CreatedAt: ms(0), SeenAt: ms(-time.Second), ExpiresAt: ms(time.Hour),
		}},
		{NewUser: store.NewUser{Name: "two", Skeleton: "tw0", DisplayName: "Two"}, Session: store.Session{Token: token(), ExpiresAt: ms(time.Hour)}},
	}
	made := must[[]store.BatchUser](f)(f.s.CreateBatchUsers(f.ctx(), "crew", in))
	f.equal("made", len(made), 2)
	for range 2 {
		for i, m := range made {
			want := chat.User{ID: m.User.ID, Name: in[i].Name, DisplayName: in[i].DisplayName, CreatedAt: m.User.CreatedAt}
			f.equal("account", m.User, want)
			s, u, err := f.s.SessionByToken(f.ctx(), in[i].Session.Token, time.Now())
			f.noError(err)
			f.equal("of the session", u, want)
			in[i].Session.ID, in[i].Session.User = m.Session, m.User.ID
			f.equal("session", s, in[i].Session)
			_, password, err := f.s.Credentials(f.ctx(), in[i].Name)
			f.noError(err)
			f.equal("password", password, "")
		}
		f.reopen()
	}
	f.recent("CreatedAt", made[0].User.CreatedAt)
	f.equal("found by search", len(must[[]chat.User](f)(f.s.SearchUsers(f.ctx(), "THE", "", 9))), 1)
	f.batchUsers("crew", 3)
	f.batchUsers("another", 1)
	list := must[[]store.Batch](f)(f.s.Batches(f.ctx()))
	f.equal("batches", len(list), 2)
	f.recent("CreatedAt", list[0].CreatedAt)
	for i := range list {
		list[i].CreatedAt = time.Time{}
	}
	f.equal("batches", list, []store.Batch{{Name: "another", Accounts: 1}, {Name: "crew", Accounts: 5}})
}

func batchNames(f *fixture) {
	taken := unique("taken")
	must[chat.User](f)(f.s.CreateUser(f.ctx(), store.NewUser{Name: taken, Skeleton: taken + "-looks", DisplayName: "x"}, nil))
	for what, bad := range map[string]store.NewUser{
		"a name":     {Name: taken, Skeleton: unique("free")},
		"a skeleton": {Name: unique("free"), Skeleton: taken + "-looks"},
		"twice":      {Name: "twin", Skeleton: unique("free")},
	} {
		batch := unique("batch")
		_, err := f.s.CreateBatchUsers(f.ctx(), batch, []store.NewBatchUser{
			{NewUser: store.NewUser{Name: "twin", Skeleton: "twin"}, Session: store.Session{Token: token()}},
			{NewUser: bad, Session: store.Session{Token: token()}},
			{NewUser: store.NewUser{Name: unique("free"), Skeleton: unique("free")}, Session: store.Session{Token: token()}},
		})
		f.refused(err, chat.CodeNameTaken)
		if err != nil && !strings.Contains(err.Error(), bad.Name) {
			f.Errorf("%s: the refusal does not name %s: %v", what, bad.Name, err)
		}
		f.equal("batch", f.batch(batch), store.Batch{})
		_, _, err = f.s.Credentials(f.ctx(), "twin")
		f.refused(err, chat.CodeNotFound)
	}
}

func batchThousand(f *fixture) {
	batch := unique("batch")
	users, tokens := f.batchUsers(batch, chat.MaxBatchUsers)
	f.equal("accounts", f.batch(batch).Accounts, chat.MaxBatchUsers)
	for _, i := range []int{0, 499, 999} {
		_, u, err := f.s.SessionByToken(f.ctx(), tokens[i], time.Now())
		f.noError(err)
		f.equal("account", u.ID, users[i])
	}
}

func batchConversations(f *fixture) {
	batch := unique("batch")
	p, _ := f.batchUsers(batch, 4)
	devices := make([]*device, len(p))
	for i := range p {
		devices[i] = newDevice(p[i])
		devices[i].sync(f, 9)
	}
	list := []store.NewConversation{
		{Kind: chat.Direct, By: p[0], Members: p[1:2]},
		{Kind: chat.Direct, By: p[2], Members: p[3:]},
		{Kind: chat.Group, Title: "group", By: p[1], Members: p},
		{Kind: chat.Channel, Title: "channel", Topic: "topic", By: p[3]},
	}
	made := must[[]store.Change](f)(f.s.CreateBatchConversations(f.ctx(), batch, list))
	f.equal("made", len(made), len(list))
	for i, c := range made {
		f.equal("changed", c.Changed, true)
		f.equal("kind", c.Conversation.Kind, list[i].Kind)
		role := chat.Owner
		if list[i].Kind == chat.Direct {
			role = chat.Member
		}
		f.equal("its maker's role", f.summary(c.Conversation.ID, list[i].By).Role, role)
	}
	f.equal("audience", made[2].Audience, chat.Audience{Conversation: made[2].Conversation.ID, MembersRev: 1, Members: sorted(p...)})
	for i, want := range []int{2, 2, 2, 3} {
		changed, _ := devices[i].sync(f, 2)
		f.equal("conversations of one", len(changed), want)
	}
	f.send(made[0].Conversation.ID, p[1], "hello")
	// An existing direct conversation is found.
	again := must[[]store.Change](f)(f.s.CreateBatchConversations(f.ctx(), batch, list[:1]))
	f.equal("again", []any{again[0].Changed, again[0].Conversation.ID}, []any{false, made[0].Conversation.ID})
}

func batchLargeRoom(f *fixture) {
	batch := unique("batch")
	p, _ := f.batchUsers(batch, chat.MaxBatchUsers)
	made := must[[]store.Change](f)(f.s.CreateBatchConversations(f.ctx(), batch, []store.NewConversation{{Kind: chat.Group, Title: "hall", By: p[7], Members: p}}))
	id := made[0].Conversation.ID
	f.equal("members", f.members(id), sorted(p...))
	f.equal("large", made[0].Audience, chat.Audience{Conversation: id, MembersRev: 1})
	f.send(id, p[999], "from the last row")
	d := newDevice(p[500])
	d.sync(f, 9)
	f.equal("what a member sees", d.known[id], f.summary(id, p[500]))
	f.equal("count", d.known[id].Members, len(p))
}

func batchNonMembers(f *fixture) {
	batch := unique("batch")
	p, _ := f.batchUsers(batch, 3)
	other, _ := f.batchUsers(unique("batch"), 1)
	outsider, off := f.user(), true
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), p[2], store.UserChange{Disabled: &off}))
	for what, c := range map[string]store.NewConversation{
		"an outsider":        {Kind: chat.Group, Title: "x", By: p[0], Members: []chat.UserID{outsider}},
		"an outsider's":      {Kind: chat.Direct, By: outsider, Members: p[:1]},
		"of another batch":   {Kind: chat.Direct, By: p[0], Members: other},
		"a disabled account": {Kind: chat.Direct, By: p[0], Members: p[2:]},
		"nobody":             {Kind: chat.Direct, By: p[0], Members: []chat.UserID{1}},
		"no title":           {Kind: chat.Group, By: p[0]},
	} {
		good := store.NewConversation{Kind: chat.Group, Title: "good", By: p[0], Members: p[1:2]}
		_, err := f.s.CreateBatchConversations(f.ctx(), batch, []store.NewConversation{good, c})
		if chat.CodeOf(err) != chat.CodeInvalid {
			f.Errorf("%s: %v", what, err)
		}
	}
	_, err := f.s.CreateBatchConversations(f.ctx(), unique("batch"), nil)
	f.refused(err, chat.CodeNotFound)
	f.equal("nothing was made", len(must[[]chat.Summary](f)(f.s.Recent(f.ctx(), p[0], time.Time{}, 0, 9))), 0)
}
