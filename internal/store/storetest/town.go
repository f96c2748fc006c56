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
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// town is a random place where people of a batch, of another batch and of none
// talk, until the batch is removed.
type town struct {
	w      *world
	t      *rapid.T
	batch  string
	guests []chat.UserID
	others []chat.UserID
	tokens map[chat.UserID][]byte
	places []*venue
}

// venue is what the model knows of a conversation.
type venue struct {
	id    chat.ConversationID
	kind  chat.Kind
	in    map[chat.UserID]bool
	ever  map[chat.UserID]bool
	wrote map[chat.UserID]bool
	seq   int64
}

// runRemovals checks that a removal takes what is the batch's own, and leaves
// everything else as it was: accounts, conversations, histories, feeds.
func runRemovals(w *world) {
	w.check(func(t *rapid.T) {
		town := settle(w, t)
		town.live()
		town.leave()
	})
}

func settle(w *world, t *rapid.T) *town {
	c := &town{w: w, t: t, batch: unique("batch"), tokens: map[chat.UserID][]byte{}}
	c.guests, _ = w.crowd(c.batch, 4)
	neighbours, tokens := w.crowd(unique("batch"), 1)
	c.others = append(w.users(2), neighbours...)
	for i, u := range neighbours {
		c.tokens[u] = tokens[i]
	}
	for range rapid.IntRange(2, 6).Draw(t, "conversations") {
		kind := rapid.SampledFrom([]chat.Kind{chat.Direct, chat.Group, chat.Channel}).Draw(t, "kind")
		from := rapid.SampledFrom([][]chat.UserID{c.guests, c.others, c.people()}).Draw(t, "from")
		members := rapid.SliceOfNDistinct(rapid.SampledFrom(from), 2, 3, rapid.ID).Draw(t, "members")
		if kind == chat.Direct {
			members = members[:2]
		}
		v := &venue{id: w.make(kind, members[0], members[1:]...), kind: kind, in: map[chat.UserID]bool{}, ever: map[chat.UserID]bool{}, wrote: map[chat.UserID]bool{}}
		if slices.ContainsFunc(c.places, func(old *venue) bool { return old.id == v.id }) {
			continue // the pair talks already
		}
		v.enter(members...)
		c.places = append(c.places, v)
	}
	return c
}

func (v *venue) enter(users ...chat.UserID) {
	for _, u := range users {
		v.in[u], v.ever[u] = true, true
	}
}

// stays tells whether anybody outside of the batch has been in it.
func (c *town) stays(v *venue) bool {
	return slices.ContainsFunc(c.others, func(u chat.UserID) bool { return v.ever[u] })
}

func (c *town) people() []chat.UserID { return slices.Concat(c.guests, c.others) }

// live has people send, edit, delete, come, go and read.
func (c *town) live() {
	for range rapid.IntRange(0, 25).Draw(c.t, "events") {
		v := rapid.SampledFrom(c.places).Draw(c.t, "where")
		who := rapid.SampledFrom(c.people()).Draw(c.t, "who")
		if !v.in[who] {
			if _, err := c.w.s.Join(c.w.ctx(), v.id, who); err == nil {
				v.enter(who)
			}
			continue
		}
		switch rapid.SampledFrom([]string{"send", "send", "send", "edit", "delete", "leave", "add", "mark"}).Draw(c.t, "what") {
		case "send":
			c.w.send(v.id, who, "message "+strconv.FormatInt(v.seq, 10))
			v.seq++
			v.wrote[who] = true
		case "edit":
			_, _ = c.w.s.EditMessage(c.w.ctx(), v.id, rapid.Int64Range(1, v.seq+1).Draw(c.t, "seq"), who, "edited")
		case "delete":
			_, _ = c.w.s.DeleteMessage(c.w.ctx(), v.id, rapid.Int64Range(1, v.seq+1).Draw(c.t, "seq"), who)
		case "leave":
			if _, err := c.w.s.RemoveMember(c.w.ctx(), v.id, who, who); err == nil {
				delete(v.in, who)
			}
		case "add":
			other := rapid.SampledFrom(c.people()).Draw(c.t, "other")
			if _, err := c.w.s.AddMembers(c.w.ctx(), v.id, who, []chat.UserID{other}); err == nil {
				v.enter(other)
			}
		case "mark":
			c.w.mark(v.id, who, v.seq, v.seq)
		}
	}
}

// view is what one person sees of a conversation.
type view struct {
	Summary chat.Summary
	History []chat.Message
	Changes []chat.Message
	Members []chat.Membership
}

func (c *town) view(v *venue, by chat.UserID) view {
	w := c.w
	members := must[[]chat.Membership](w)(w.s.MembersOf(w.ctx(), v.id, by, 0, 100))
	return view{w.summary(v.id, by), w.history(v.id, by), must[[]chat.Message](w)(w.s.Changes(w.ctx(), v.id, by, 0, 1000)), members}
}

// leave removes the batch and looks at what is there afterwards.
func (c *town) leave() {
	w := c.w
	old, fresh, before := map[chat.UserID]*device{}, map[chat.UserID]*device{}, map[chat.UserID]map[*venue]view{}
	for _, u := range c.others {
		before[u] = map[*venue]view{}
		for _, v := range c.places {
			if v.in[u] {
				before[u][v] = c.view(v, u)
			}
		}
		// Of two devices that know all, one pages by one afterwards.
		fresh[u], old[u] = newDevice(u), newDevice(u)
		fresh[u].sync(w, 100)
		fresh[u].sync(w, 100) // what was left before may come once more
		old[u].at = fresh[u].at
		maps.Copy(old[u].known, fresh[u].known)
	}
	accounts := must[[]chat.User](w)(w.s.Users(w.ctx(), c.others))
	removed := w.removal(c.batch)
	c.same("the other accounts", must[[]chat.User](w)(w.s.Users(w.ctx(), c.others)), accounts)
	for u, token := range c.tokens {
		_, as, err := w.s.SessionByToken(w.ctx(), token, time.Now())
		w.nothing(err)
		c.same("a session", as.ID, u)
	}
	c.checkAccounts()
	gone := 0
	for _, v := range c.places {
		if !c.stays(v) {
			gone++
			if _, err := w.s.Audience(w.ctx(), v.id); chat.CodeOf(err) != chat.CodeNotFound {
				c.t.Fatalf("conversation %d is there: %v", v.id, err)
			}
		}
	}
	c.same("conversations removed", removed.Conversations, gone)
	for _, u := range c.others {
		var touched []chat.ConversationID
		for v, was := range before[u] {
			if c.checkVenue(v, u, was) {
				touched = append(touched, v.id)
			}
		}
		changed, left := fresh[u].sync(w, 100)
		slices.Sort(changed)
		slices.Sort(touched)
		c.same("what a device hears of", append(changed, left...), touched)
		old[u].sync(w, 1)
		sum := store.Head{}
		for v := range before[u] {
			s := w.summary(v.id, u)
			c.same("what a device knows", old[u].known[v.id], s)
			sum.Conversations++
			sum.Sum += s.Rev + s.Read
		}
		c.same("head", must[map[chat.UserID]store.Head](w)(w.s.Heads(w.ctx(), []chat.UserID{u}))[u], sum)
		c.same("conversations", len(old[u].known), len(before[u]))
	}
}

// checkAccounts looks which accounts of the batch are there.
func (c *town) checkAccounts() {
	var want []chat.UserID
	for _, u := range c.guests {
		if slices.ContainsFunc(c.places, func(v *venue) bool {
			return c.stays(v) && (v.wrote[u] || v.in[u] && v.kind == chat.Direct)
		}) {
			want = append(want, u)
		}
	}
	c.same("accounts that stay", c.w.exists(c.guests...), want)
	for _, u := range must[[]chat.User](c.w)(c.w.s.Users(c.w.ctx(), want)) {
		c.same("disabled", u.Disabled, true)
	}
}

// checkVenue compares what one person sees with what it was, and tells whether
// people of the batch have left.
func (c *town) checkVenue(v *venue, by chat.UserID, was view) (touched bool) {
	now := c.view(v, by)
	parted := 0
	if v.kind != chat.Direct {
		for _, u := range c.guests {
			if v.in[u] {
				parted++
			}
		}
	}
	if parted > 0 {
		was.Members = slices.DeleteFunc(was.Members, func(m chat.Membership) bool { return slices.Contains(c.guests, m.User) })
		was.Summary.Members -= parted
		was.Summary.Rev += int64(parted)
		was.Summary.MembersRev = was.Summary.Rev
		// Who owns it now is the rule's affair; that somebody does, is not.
		if !slices.ContainsFunc(now.Members, func(m chat.Membership) bool { return m.Role == chat.Owner }) {
			c.t.Fatalf("nobody owns conversation %d", v.id)
		}
		for i := range was.Members {
			was.Members[i].Role = now.Members[i].Role
		}
		was.Summary.Role = now.Summary.Role
	}
	c.same("a conversation that stays", now, was)
	return parted > 0
}

func (c *town) same(what string, got, want any) {
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		c.t.Helper()
		c.t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
