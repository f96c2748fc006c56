package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var stateMachineTests = []testCase{
	{name: "random histories agree with the model", run: runStateMachine},
}

// runStateMachine checks G2 (exactly once), G3 (one order), G5 (cheap return)
// and G7 (only members) over random interleavings.
func runStateMachine(f *fixture) {
	f.check(func(t *rapid.T) {
		m := newStateMachine(f, t)
		t.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"send":   m.send,
			"resend": m.send, // twice as likely
			"edit":   m.edit,
			"delete": m.delete,
			"join":   m.join,
			"add":    m.add,
			"leave":  m.leave,
			"remove": m.remove,
			"role":   m.role,
			"rename": m.rename,
			"mark":   m.mark,
			"sync":   m.sync,
			"reopen": m.reopen,
		})
		for _, d := range m.devices {
			m.catchUp(t, d)
		}
		m.checkAll(t)
	})
}

// stateMachine runs a random history against a store and the model.
type stateMachine struct {
	f       *fixture
	model   *model
	users   []chat.UserID
	devices []*device
	bodies  int
}

func newStateMachine(f *fixture, t *rapid.T) *stateMachine {
	m := &stateMachine{f: f, model: &model{sends: map[sendKey]sentMessage{}}, users: f.users(5)}
	u := m.users
	for _, c := range []store.NewConversation{
		{Kind: chat.Group, Title: "group", By: u[0], Members: u[1:3]},
		{Kind: chat.Channel, Title: "channel", By: u[1], Members: u[2:3]},
		{Kind: chat.Direct, By: u[0], Members: u[1:2]},
	} {
		made, err := f.s.CreateConversation(f.ctx(), c)
		m.noError(t, err)
		r := &room{id: made.Conversation.ID, kind: c.Kind, title: c.Title, in: map[chat.UserID]*membership{}}
		r.enroll(append(c.Members, c.By)...)
		if c.Kind != chat.Direct {
			r.in[c.By].role = chat.Owner
		}
		r.told = r.mrev
		m.model.rooms = append(m.model.rooms, r)
	}
	for _, user := range u {
		m.devices = append(m.devices, newDevice(user))
	}
	return m
}

func (m *stateMachine) noError(t *rapid.T, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func (m *stateMachine) equal(t *rapid.T, what string, got, want any) {
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Helper()
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// refused checks that err is the refusal that the model predicts; "" is success.
// It reports whether there is a refusal.
func (m *stateMachine) refused(t *rapid.T, err error, want chat.Code) (stop bool) {
	t.Helper()
	if err != nil && chat.CodeOf(err) == "" {
		t.Fatal(err)
	}
	if got := chat.CodeOf(err); got != want {
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
	return want != ""
}

func (m *stateMachine) anyRoom(t *rapid.T) *room {
	return rapid.SampledFrom(m.model.rooms).Draw(t, "room")
}

func (m *stateMachine) anyUser(t *rapid.T, label string) chat.UserID {
	return rapid.SampledFrom(m.users).Draw(t, label)
}

// normalize clears what the model cannot know: ids and times. Whether a time is
// set is kept.
func normalize(msg chat.Message) chat.Message {
	msg.ID, msg.At, msg.TextCheck = 0, time.Time{}, 0
	for _, at := range []*time.Time{&msg.EditedAt, &msg.DeletedAt} {
		if !at.IsZero() {
			*at = time.Unix(1, 0)
		}
	}
	return msg
}

func (m *stateMachine) send(t *rapid.T) {
	var batch []chat.Submission
	for range rapid.IntRange(1, 5).Draw(t, "batch") {
		kind := rapid.SampledFrom([]string{"new", "new", "new", "again", "conflict", "requeued"}).Draw(t, "kind")
		if len(m.model.order) == 0 {
			kind = "new"
		}
		if kind == "new" {
			m.bodies++
			s := submission(m.anyRoom(t).id, m.anyUser(t, "sender"), fmt.Sprintf("message %d", m.bodies))
			s.ReplyTo = rapid.Int64Range(-5, m.model.room(s.Conversation).seq()+1).Draw(t, "reply to")
			s.ReplyTo = max(s.ReplyTo, 0)
			if rapid.IntRange(0, 9).Draw(t, "blank") == 0 {
				s.Body = ""
			}
			batch = append(batch, s)
			if rapid.IntRange(0, 5).Draw(t, "twice") == 0 {
				batch = append(batch, s)
			}
			continue
		}
		s := m.model.sends[rapid.SampledFrom(m.model.order).Draw(t, "earlier")].in
		s.Requeued = kind == "requeued"
		if kind == "conflict" {
			switch rapid.IntRange(0, 2).Draw(t, "other") {
			case 0:
				s.Body += "!"
			case 1:
				s.Conversation = m.anyRoom(t).id
			default:
				s.ReplyTo++
			}
		}
		batch = append(batch, s)
	}
	out, err := m.f.decide(batch)
	m.noError(t, err)
	for i, s := range batch {
		verdict, seq, code := m.model.send(s)
		if code != "" {
			if out[i].Refusal == nil || out[i].Refusal.Code != code || out[i].Verdict != 0 || out[i].Audience.Conversation != 0 {
				t.Fatalf("submission %d of %+v: got %+v, want %s", i, batch, out[i], code)
			}
			continue
		}
		r := m.model.room(s.Conversation)
		m.equal(t, "outcome", chat.Outcome{
			Verdict: out[i].Verdict, Message: normalize(out[i].Message), Audience: out[i].Audience, Refusal: out[i].Refusal,
		}, chat.Outcome{Verdict: verdict, Message: r.msgs[seq-1], Audience: r.audience()})
	}
}

// anyMessage picks a seq, sometimes one that does not exist.
func anyMessage(t *rapid.T, r *room) (seq int64, msg *chat.Message) {
	seq = rapid.Int64Range(0, r.seq()+1).Draw(t, "seq")
	if seq >= 1 && seq <= r.seq() {
		msg = &r.msgs[seq-1]
	}
	return seq, msg
}

func (m *stateMachine) edit(t *rapid.T) {
	r, by := m.anyRoom(t), m.anyUser(t, "by")
	seq, msg := anyMessage(t, r)
	body := rapid.SampledFrom([]string{"edit one", "edit two", ""}).Draw(t, "body")
	e, err := m.f.s.EditMessage(m.f.ctx(), r.id, seq, by, body)
	var code chat.Code
	switch {
	case r.in[by] == nil || msg == nil:
		code = chat.CodeNotFound
	case msg.Sender != by:
		code = chat.CodeForbidden
	case msg.Deleted():
		code = chat.CodeConflict
	case body == "":
		code = chat.CodeInvalid
	}
	if m.refused(t, err, code) {
		return
	}
	changed := msg.Body != body
	if changed {
		r.rev++
		msg.Body, msg.Rev, msg.EditedAt = body, r.rev, time.Unix(1, 0)
	}
	m.equal(t, "edited", store.Edited{Message: normalize(e.Message), Audience: e.Audience, Changed: e.Changed},
		store.Edited{Message: *msg, Audience: r.audience(), Changed: changed})
}

func (m *stateMachine) delete(t *rapid.T) {
	r, by := m.anyRoom(t), m.anyUser(t, "by")
	seq, msg := anyMessage(t, r)
	e, err := m.f.s.DeleteMessage(m.f.ctx(), r.id, seq, by)
	var code chat.Code
	switch {
	case r.in[by] == nil || msg == nil:
		code = chat.CodeNotFound
	case msg.Sender != by && !r.role(by).MayManage():
		code = chat.CodeForbidden
	}
	if m.refused(t, err, code) {
		return
	}
	changed := !msg.Deleted()
	if changed {
		r.rev++
		msg.Body, msg.Rev, msg.DeletedAt = "", r.rev, time.Unix(1, 0)
	}
	m.equal(t, "deleted", store.Edited{Message: normalize(e.Message), Audience: e.Audience, Changed: e.Changed},
		store.Edited{Message: *msg, Audience: r.audience(), Changed: changed})
}

// changed checks what is to be announced of a change of membership or title.
func (m *stateMachine) changed(t *rapid.T, r *room, got store.Change, changed bool, joined, left []chat.UserID) {
	t.Helper()
	m.equal(t, "head after the change", []int64{got.Conversation.Rev, got.Conversation.MembersRev, got.Conversation.Seq},
		[]int64{r.rev, r.mrev, r.seq()})
	m.equal(t, "audience", got.Audience, r.audience())
	m.equal(t, "members", got.Conversation.Members, len(r.in))
	m.equal(t, "changed", got.Changed, changed)
	m.equal(t, "joined", sorted(slices.Clone(got.Joined)...), sorted(slices.Clone(joined)...))
	m.equal(t, "left", got.Left, left)
	before := r.told
	if r.told = r.mrev; r.told == before {
		before = 0 // neither members nor roles
	}
	m.equal(t, "members rev before", got.MembersRevBefore, before)
}

func (m *stateMachine) join(t *rapid.T) {
	r, by := m.anyRoom(t), m.anyUser(t, "by")
	ch, err := m.f.s.Join(m.f.ctx(), r.id, by)
	if r.in[by] != nil {
		m.noError(t, err)
		m.changed(t, r, ch, false, nil, nil)
		return
	}
	var code chat.Code
	if r.kind != chat.Channel {
		code = chat.CodeNotFound
	}
	if !m.refused(t, err, code) {
		r.enroll(by)
		m.changed(t, r, ch, true, []chat.UserID{by}, nil)
	}
}

func (m *stateMachine) add(t *rapid.T) {
	r, by := m.anyRoom(t), m.anyUser(t, "by")
	who := rapid.SliceOfN(rapid.SampledFrom(m.users), 0, 3).Draw(t, "who")
	ch, err := m.f.s.AddMembers(m.f.ctx(), r.id, by, who)
	var code chat.Code
	switch {
	case r.in[by] == nil:
		code = chat.CodeNotFound
	case r.kind == chat.Direct:
		code = chat.CodeForbidden
	}
	if m.refused(t, err, code) {
		return
	}
	var fresh []chat.UserID
	for _, u := range who {
		if r.in[u] == nil && !slices.Contains(fresh, u) {
			fresh = append(fresh, u)
		}
	}
	if len(fresh) > 0 {
		r.enroll(fresh...)
	}
	m.changed(t, r, ch, len(fresh) > 0, fresh, nil)
}

func (m *stateMachine) leave(t *rapid.T) {
	u := m.anyUser(t, "user")
	m.removeMember(t, m.anyRoom(t), u, u)
}

func (m *stateMachine) remove(t *rapid.T) {
	m.removeMember(t, m.anyRoom(t), m.anyUser(t, "by"), m.anyUser(t, "user"))
}

func (m *stateMachine) removeMember(t *rapid.T, r *room, by, user chat.UserID) {
	// Only the store knows for how long each member has been in it.
	var rest []chat.Membership
	if r.in[by] != nil {
		all, err := m.f.s.MembersOf(m.f.ctx(), r.id, by, "", 0, 100)
		m.noError(t, err)
		rest = slices.DeleteFunc(all, func(p chat.Membership) bool { return p.User == user })
	}
	ch, err := m.f.s.RemoveMember(m.f.ctx(), r.id, by, user)
	var code chat.Code
	switch {
	case r.in[by] == nil:
		code = chat.CodeNotFound
	case r.kind == chat.Direct && by == user:
		code = chat.CodeForbidden
	case r.in[user] == nil:
		code = chat.CodeNotFound
	case by != user && !chat.MayRemove(r.kind, r.role(by), r.role(user)):
		code = chat.CodeForbidden
	}
	if m.refused(t, err, code) {
		return
	}
	successor, _ := chat.Successor(rest)
	r.remove(user, successor)
	m.changed(t, r, ch, true, nil, []chat.UserID{user})
}

func (m *stateMachine) role(t *rapid.T) {
	r, by, user := m.anyRoom(t), m.anyUser(t, "by"), m.anyUser(t, "user")
	role := rapid.SampledFrom([]chat.Role{chat.Owner, chat.Admin, chat.Member, "king"}).Draw(t, "role")
	ch, err := m.f.s.SetRole(m.f.ctx(), r.id, by, user, role)
	var code chat.Code
	switch {
	case r.in[by] == nil:
		code = chat.CodeNotFound
	case role == "king":
		code = chat.CodeInvalid
	case !chat.MaySetRole(r.kind, r.role(by), r.role(user), role):
		code = chat.CodeForbidden
	case r.in[user] == nil:
		code = chat.CodeNotFound
	case r.role(user) == chat.Owner && role != chat.Owner && r.owners() == 1:
		code = chat.CodeForbidden
	}
	if m.refused(t, err, code) {
		return
	}
	changed := r.role(user) != role
	if changed {
		r.rev++
		r.mrev = r.rev
		r.in[user].role = role
	}
	m.changed(t, r, ch, changed, nil, nil)
}

func (m *stateMachine) rename(t *rapid.T) {
	r, by := m.anyRoom(t), m.anyUser(t, "by")
	title := rapid.SampledFrom([]string{"red", "green", ""}).Draw(t, "title")
	ch, err := m.f.s.UpdateConversation(m.f.ctx(), r.id, by, &title, nil)
	var code chat.Code
	switch {
	case r.in[by] == nil:
		code = chat.CodeNotFound
	case r.kind == chat.Direct || !r.role(by).MayManage():
		code = chat.CodeForbidden
	case title == "":
		code = chat.CodeInvalid
	}
	if m.refused(t, err, code) {
		return
	}
	changed := r.title != title
	if changed {
		r.rev++
		r.title = title
	}
	m.changed(t, r, ch, changed, nil, nil)
}

func (m *stateMachine) mark(t *rapid.T) {
	r, by := m.anyRoom(t), m.anyUser(t, "by")
	read := rapid.Int64Range(0, r.seq()+2).Draw(t, "read")
	got := rapid.Int64Range(0, r.seq()+2).Draw(t, "received")
	mm, moved, err := m.f.s.Mark(m.f.ctx(), r.id, by, read, got)
	p := r.in[by]
	var code chat.Code
	if p == nil {
		code = chat.CodeNotFound
	}
	if m.refused(t, err, code) {
		return
	}
	before := *p
	p.read, p.received = max(p.read, min(read, r.seq())), max(p.received, min(got, r.seq()))
	p.marked = p.marked || before != *p
	m.equal(t, "marks", []any{mm.Read, mm.Received, mm.Role, moved}, []any{p.read, p.received, p.role, before.read != p.read || before.received != p.received})
}

func (m *stateMachine) reopen(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
		m.f.reopen()
	}
}

func (m *stateMachine) sync(t *rapid.T) {
	d := rapid.SampledFrom(m.devices).Draw(t, "device")
	if rapid.Bool().Draw(t, "all") {
		m.catchUp(t, d)
		return
	}
	m.page(t, d, rapid.IntRange(1, 3).Draw(t, "limit"))
}

func (m *stateMachine) page(t *rapid.T, d *device, limit int) (more bool) {
	hasChanged := m.hasChanged(t, d)
	page, next, more, err := m.f.s.Changed(m.f.ctx(), d.user, d.at, limit)
	m.noError(t, err)
	if len(page) > 0 && !hasChanged {
		t.Fatalf("nothing has changed for the device, and %d changes are listed", len(page))
	}
	if n := rapid.IntRange(0, len(page)).Draw(t, "taken"); n > 0 && n < len(page) {
		page, next, more = page[:n], page[n-1].Next, true
	}
	d.apply(page, next)
	return more
}

// catchUp syncs a device and checks that it has everything and nothing else.
func (m *stateMachine) catchUp(t *rapid.T, d *device) {
	for m.page(t, d, rapid.IntRange(1, 3).Draw(t, "limit")) {
	}
	for _, r := range m.model.rooms {
		s, ok := d.known[r.id]
		if ok != (r.in[d.user] != nil) {
			t.Fatalf("the device of %d knows room %d: %v", d.user, r.id, ok)
		}
		if ok {
			m.sameSummary(t, r, d.user, s)
		}
	}
	// What changed while the device was paging may be listed once more.
	for m.page(t, d, 10) {
	}
	m.equal(t, "has changed since", m.hasChanged(t, d), false)
}

func (m *stateMachine) hasChanged(t *rapid.T, d *device) bool {
	changed, err := m.f.s.HasChanged(m.f.ctx(), []store.Device{{User: d.user, After: d.at}})
	m.noError(t, err)
	return changed[0]
}

func (m *stateMachine) sameSummary(t *rapid.T, r *room, u chat.UserID, s chat.Summary) {
	t.Helper()
	rev, seq, read, unread, role := r.summary(u)
	m.equal(t, "summary", []any{s.Rev, s.Seq, s.Read, s.Unread, s.Role, s.Title, s.MembersRev, s.Members, s.OthersRead},
		[]any{rev, seq, read, unread, role, r.title, r.mrev, len(r.in), r.othersRead(u)})
	if seq > 0 {
		m.equal(t, "last", normalize(*s.Last), r.msgs[seq-1])
	}
}

// checkFunc checks one view of a room by one user.
type checkFunc func(t *rapid.T, r *room, u chat.UserID)

// check checks one view of one room after each step: on a server each check
// takes longer than the step. At the end checkAll checks every view.
func (m *stateMachine) check(t *rapid.T) {
	checks := map[string]checkFunc{"history": m.history, "summary": m.summary, "members": m.memberIDs, "changes": func(t *rapid.T, r *room, u chat.UserID) {
		m.changes(t, r, u, rapid.Int64Range(0, 20).Draw(t, "back"))
	}}
	view := rapid.SampledFrom([]string{"history", "summary", "members", "changes"}).Draw(t, "view")
	checks[view](t, m.anyRoom(t), m.anyUser(t, "viewer"))
}

func (m *stateMachine) checkAll(t *rapid.T) {
	for _, r := range m.model.rooms {
		m.memberIDs(t, r, 0)
		for _, u := range m.users {
			m.history(t, r, u)
			m.summary(t, r, u)
			m.changes(t, r, u, 1000)
		}
	}
}

// memberOnly checks that only members get an answer, and reports whether u is a
// member.
func (m *stateMachine) memberOnly(t *rapid.T, r *room, u chat.UserID, err error) bool {
	t.Helper()
	if r.in[u] == nil {
		m.refused(t, err, chat.CodeNotFound)
		return false
	}
	m.noError(t, err)
	return true
}

func (m *stateMachine) history(t *rapid.T, r *room, u chat.UserID) {
	page, err := m.f.s.History(m.f.ctx(), r.id, u, 1, 1<<31, false, 1000)
	if !m.memberOnly(t, r, u, err) {
		return
	}
	m.equal(t, "history's head", page.Head, chat.Head{Seq: int64(len(r.msgs)), Rev: r.rev})
	history := page.Messages
	for i := range history {
		history[i] = normalize(history[i])
	}
	m.equal(t, "history", history, r.msgs)
}

func (m *stateMachine) summary(t *rapid.T, r *room, u chat.UserID) {
	s, err := m.f.s.Conversation(m.f.ctx(), r.id, u)
	if m.memberOnly(t, r, u, err) {
		m.sameSummary(t, r, u, s)
	}
}

func (m *stateMachine) memberIDs(t *rapid.T, r *room, _ chat.UserID) {
	ids, rev, err := m.f.s.MemberIDs(m.f.ctx(), r.id)
	m.noError(t, err)
	m.equal(t, "members", ids, r.members())
	m.equal(t, "members rev", rev, r.mrev)
}

// changes checks that a device at an older rev gets exactly what it is missing.
func (m *stateMachine) changes(t *rapid.T, r *room, u chat.UserID, back int64) {
	have := max(0, r.rev-back)
	changes, head, err := m.f.s.Changes(m.f.ctx(), r.id, u, have, 1000)
	if !m.memberOnly(t, r, u, err) {
		return
	}
	m.equal(t, "head", head, r.rev)
	for i := range changes {
		changes[i] = normalize(changes[i])
	}
	var want []chat.Message
	for _, msg := range r.msgs {
		if msg.Rev > have {
			want = append(want, msg)
		}
	}
	slices.SortFunc(want, func(a, b chat.Message) int { return int(a.Rev - b.Rev) })
	m.equal(t, "changes", changes, want)
}
