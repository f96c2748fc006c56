package storetest

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// removalFixture is a random set of conversations among users of a batch, of
// another batch and of no batch, until the batch is removed.
type removalFixture struct {
	f             *fixture
	t             *rapid.T
	batch         string
	batchUsers    []chat.UserID
	others        []chat.UserID
	tokens        map[chat.UserID][]byte
	conversations []*removalConversation
}

// removalConversation is what the model knows of a conversation.
type removalConversation struct {
	id          chat.ConversationID
	kind        chat.Kind
	members     map[chat.UserID]bool
	everMembers map[chat.UserID]bool
	authors     map[chat.UserID]bool
	seq         int64
}

// runRemovals checks that a removal deletes what belongs to the batch alone and
// leaves everything else unchanged: accounts, conversations, histories, feeds.
func runRemovals(f *fixture) {
	f.check(func(t *rapid.T) {
		r := newRemovalFixture(f, t)
		r.runEvents()
		r.removeBatch()
	})
}

// newRemovalFixture creates random users and conversations.
func newRemovalFixture(f *fixture, t *rapid.T) *removalFixture {
	r := &removalFixture{f: f, t: t, batch: unique("batch"), tokens: map[chat.UserID][]byte{}}
	r.batchUsers, _ = f.batchUsers(r.batch, 4)
	otherBatch, tokens := f.batchUsers(unique("batch"), 1)
	r.others = append(f.users(2), otherBatch...)
	for i, u := range otherBatch {
		r.tokens[u] = tokens[i]
	}
	for range rapid.IntRange(2, 6).Draw(t, "conversations") {
		kind := rapid.SampledFrom([]chat.Kind{chat.Direct, chat.Group, chat.Channel}).Draw(t, "kind")
		from := rapid.SampledFrom([][]chat.UserID{r.batchUsers, r.others, r.allUsers()}).Draw(t, "from")
		members := rapid.SliceOfNDistinct(rapid.SampledFrom(from), 2, 3, rapid.ID).Draw(t, "members")
		if kind == chat.Direct {
			members = members[:2]
		}
		c := &removalConversation{id: f.create(kind, members[0], members[1:]...), kind: kind, members: map[chat.UserID]bool{}, everMembers: map[chat.UserID]bool{}, authors: map[chat.UserID]bool{}}
		if slices.ContainsFunc(r.conversations, func(old *removalConversation) bool { return old.id == c.id }) {
			continue // the pair has a direct conversation already
		}
		c.addMembers(members...)
		r.conversations = append(r.conversations, c)
	}
	return r
}

func (c *removalConversation) addMembers(users ...chat.UserID) {
	for _, u := range users {
		c.members[u], c.everMembers[u] = true, true
	}
}

// remains reports whether a user outside the batch is, or was, a member.
func (r *removalFixture) remains(c *removalConversation) bool {
	return slices.ContainsFunc(r.others, func(u chat.UserID) bool { return c.everMembers[u] })
}

func (r *removalFixture) allUsers() []chat.UserID { return slices.Concat(r.batchUsers, r.others) }

// runEvents has users send, edit, delete, join, leave and read.
func (r *removalFixture) runEvents() {
	for range rapid.IntRange(0, 25).Draw(r.t, "events") {
		c := rapid.SampledFrom(r.conversations).Draw(r.t, "where")
		who := rapid.SampledFrom(r.allUsers()).Draw(r.t, "who")
		if !c.members[who] {
			if _, err := r.f.s.Join(r.f.ctx(), c.id, who); err == nil {
				c.addMembers(who)
			}
			continue
		}
		switch rapid.SampledFrom([]string{"send", "send", "send", "edit", "delete", "leave", "add", "mark"}).Draw(r.t, "what") {
		case "send":
			r.f.send(c.id, who, "message "+strconv.FormatInt(c.seq, 10))
			c.seq++
			c.authors[who] = true
		case "edit":
			_, _ = r.f.s.EditMessage(r.f.ctx(), c.id, rapid.Int64Range(1, c.seq+1).Draw(r.t, "seq"), who, "edited")
		case "delete":
			_, _ = r.f.s.DeleteMessage(r.f.ctx(), c.id, rapid.Int64Range(1, c.seq+1).Draw(r.t, "seq"), who)
		case "leave":
			if _, err := r.f.s.RemoveMember(r.f.ctx(), c.id, who, who); err == nil {
				delete(c.members, who)
			}
		case "add":
			other := rapid.SampledFrom(r.allUsers()).Draw(r.t, "other")
			if _, err := r.f.s.AddMembers(r.f.ctx(), c.id, who, []chat.UserID{other}); err == nil {
				c.addMembers(other)
			}
		case "mark":
			r.f.mark(c.id, who, c.seq, c.seq)
		}
	}
}

// view is what one user sees of a conversation.
type view struct {
	Summary chat.Summary
	History []chat.Message
	Changes []chat.Message
	Members []chat.Membership
}

func (r *removalFixture) view(c *removalConversation, by chat.UserID) view {
	f := r.f
	members := must[[]chat.Membership](f)(f.s.MembersOf(f.ctx(), c.id, by, "", 0, 100))
	return view{f.summary(c.id, by), f.history(c.id, by), f.changes(c.id, by, 0, 1000), members}
}

// removeBatch removes the batch and checks what is left.
func (r *removalFixture) removeBatch() {
	f := r.f
	old, fresh, before := map[chat.UserID]*device{}, map[chat.UserID]*device{}, map[chat.UserID]map[*removalConversation]view{}
	for _, u := range r.others {
		before[u] = map[*removalConversation]view{}
		for _, c := range r.conversations {
			if c.members[u] {
				before[u][c] = r.view(c, u)
			}
		}
		// Both devices are up to date. Afterwards one of them pages one by one.
		fresh[u], old[u] = newDevice(u), newDevice(u)
		fresh[u].sync(f, 100)
		fresh[u].sync(f, 100) // conversations left before may be listed once more
		old[u].at = fresh[u].at
		maps.Copy(old[u].known, fresh[u].known)
	}
	accounts := must[[]chat.User](f)(f.s.Users(f.ctx(), r.others))
	removed := f.removal(r.batch)
	r.equal("the other accounts", must[[]chat.User](f)(f.s.Users(f.ctx(), r.others)), accounts)
	for u, token := range r.tokens {
		_, as, err := f.s.SessionByToken(f.ctx(), token, time.Now())
		f.noError(err)
		r.equal("a session", as.ID, u)
	}
	r.checkAccounts()
	gone := 0
	for _, c := range r.conversations {
		if !r.remains(c) {
			gone++
			if _, err := f.s.Audience(f.ctx(), c.id); chat.CodeOf(err) != chat.CodeNotFound {
				r.t.Fatalf("conversation %d is there: %v", c.id, err)
			}
		}
	}
	r.equal("conversations removed", removed.Conversations, gone)
	for _, u := range r.others {
		var touched []chat.ConversationID
		for c, was := range before[u] {
			if r.checkConversation(c, u, was) {
				touched = append(touched, c.id)
			}
		}
		changed, left := fresh[u].sync(f, 100)
		slices.Sort(changed)
		slices.Sort(touched)
		r.equal("what a device is told", append(changed, left...), touched)
		old[u].sync(f, 1)
		for c := range before[u] {
			s := f.summary(c.id, u)
			r.equal("what a device knows", old[u].known[c.id], s)
		}
		r.equal("conversations", len(old[u].known), len(before[u]))
	}
}

// checkAccounts checks which accounts of the batch remain.
func (r *removalFixture) checkAccounts() {
	var want []chat.UserID
	for _, u := range r.batchUsers {
		if slices.ContainsFunc(r.conversations, func(c *removalConversation) bool {
			return r.remains(c) && (c.authors[u] || c.members[u] && c.kind == chat.Direct)
		}) {
			want = append(want, u)
		}
	}
	r.equal("accounts that remain", r.f.existing(r.batchUsers...), want)
	for _, u := range must[[]chat.User](r.f)(r.f.s.Users(r.f.ctx(), want)) {
		r.equal("disabled", u.Disabled, true)
	}
}

// checkConversation compares what one user sees with what it saw before, and
// reports whether users of the batch have left.
func (r *removalFixture) checkConversation(c *removalConversation, by chat.UserID, was view) (touched bool) {
	now := r.view(c, by)
	departed := 0
	if c.kind != chat.Direct {
		for _, u := range r.batchUsers {
			if c.members[u] {
				departed++
			}
		}
	}
	if departed > 0 {
		was.Members = slices.DeleteFunc(was.Members, func(m chat.Membership) bool { return slices.Contains(r.batchUsers, m.User) })
		was.Summary.Members -= departed
		was.Summary.Rev += int64(departed)
		was.Summary.MembersRev = was.Summary.Rev
		was.Summary.OthersRead = min(was.Summary.OthersRead, now.Summary.OthersRead) // of those who remain
		// Package chat decides who owns it now; here it only matters that
		// somebody does.
		if !slices.ContainsFunc(now.Members, func(m chat.Membership) bool { return m.Role == chat.Owner }) {
			r.t.Fatalf("nobody owns conversation %d", c.id)
		}
		for i := range was.Members {
			was.Members[i].Role = now.Members[i].Role
		}
		was.Summary.Role = now.Summary.Role
	}
	r.equal("a conversation that remains", now, was)
	return departed > 0
}

func (r *removalFixture) equal(what string, got, want any) {
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		r.t.Helper()
		r.t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
