package acceptance

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// testCase is a case by the name that docs/protocol.md gives it.
type testCase struct {
	name string
	test func(t *testing.T, url string)
}

var cases = []testCase{
	{"hello", hello},
	{"refused upgrades", refusedUpgrades},
	{"sessions", sessions},
	{"meant for another account", meantForAnotherAccount},
	{"revoked session is closed", revokedSessionIsClosed},
	{"malformed frames", malformedFrames},
	{"frame too large", frameTooLarge},
	{"answers under their ids", answersUnderTheirIDs},
	{"two people talk", twoUsersChat},
	{"a name is taken for good", clientIDIsUnique},
	{"one final answer", oneFinalAnswer},
	{"replies to nothing", repliesToNothing},
	{"sending by REST", sendByREST},
	{"control characters", controlCharacters},
	{"invisible text", invisibleText},
	{"own devices", ownDevices},
	{"outsiders get nothing", nonMembersGetNothing},
	{"nothing late after a removal", nothingLate},
	{"large room", largeRoom},
	{"marks", marks},
	{"who is there", presence},
	{"every change has a rev", everyChangeHasARev},
	{"history before joining", historyBeforeJoining},
	{"catching up", catchUp},
	{"catching up with marks", catchUpWithMarks},
	{"catching up with long messages", catchUpWithLongMessages},
	{"left while away", leftWhileAway},
	{"cursors of others", cursorsOfOthers},
	{"direct conversations", directConversations},
	{"links", links},
	{"pages", restPages},
	{"errors by status", restErrors},
}

// Run runs all cases against the system at url, which must hash passwords
// cheaply and have no low rate limit.
func Run(t *testing.T, url string) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.test(t, url) })
	}
}

// Names returns the names of all cases.
func Names() []string {
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.name
	}
	return names
}

func twoUsersChat(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	d, err := aki.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	Await(ben, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == d.ID })

	id := aki.SendMessage(d.ID, "hello")
	Await(aki, "accepted", IsID(id))
	own := Await(aki, "message", IsBody("hello"))
	got := Await(ben, "message", IsBody("hello"))
	if own.Message != got.Message || got.Seq != 1 || got.Sender != aki.Me().ID || got.ClientID != id {
		t.Errorf("aki sees %+v, ben %+v", own, got)
	}

	// The same again is answered alike, and shown once.
	aki.Send(wire.Send{T: "send", ID: id, Conversation: d.ID, Body: "hello"})
	Await(aki, "accepted", IsID(id))
	ExpectNone(ben, "message", IsBody("hello"))
	// The same name with another text is not taken.
	aki.Send(wire.Send{T: "send", ID: id, Conversation: d.ID, Body: "other"})
	if r := Await(aki, "rejected", IsRejected(id)); r.Code != "conflict" || r.RetryAfterMS != 0 {
		t.Errorf("conflict: %+v", r)
	}

	ben.Send(wire.Typing{T: "typing", Conversation: d.ID})
	Await(aki, "typing", func(f wire.TypingFrame) bool { return f.User == ben.Me().ID })
	ExpectNone[wire.TypingFrame](ben, "typing", nil)

	ben.Send(wire.Mark{T: "mark", Conversation: d.ID, Read: 1})
	for _, p := range []*User{aki, ben} {
		Await(p, "mark", func(f wire.MarkFrame) bool { return f.User == ben.Me().ID && f.Read == 1 })
	}

	// Edits and deletes reach both, in the conversation's order of changes.
	var edited wire.Message
	path := fmt.Sprintf("/conversations/%s/messages/1", d.ID)
	if err := aki.Do(t.Context(), http.MethodPatch, path, map[string]string{"body": "hello, Ben"}, &edited); err != nil {
		t.Fatal(err)
	}
	if f := Await[wire.MessageFrame](ben, "edited", nil); f.Message != edited || f.Rev != got.Rev+1 {
		t.Errorf("edited %+v, pushed %+v", edited, f)
	}
	if err := aki.Do(t.Context(), http.MethodDelete, path, nil, nil); err != nil {
		t.Fatal(err)
	}
	if f := Await[wire.MessageFrame](ben, "deleted", nil); f.Body != "" || f.DeletedAt == 0 {
		t.Errorf("deleted %+v", f)
	}
}

// A message that was sent long ago, or through another gateway, keeps its
// client id: with another text it is rejected (G2).
func clientIDIsUnique(t *testing.T, url string) {
	phone := join(t, url, "aki")
	laptop := Connect(t, phone.Client)
	g, err := phone.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	old := client.NewClientID()
	binary.BigEndian.PutUint64(old[:8], uint64(time.Now().Add(-time.Hour).UnixMilli())<<16|uint64(old[6])<<8|uint64(old[7]))
	phone.Send(wire.Send{T: "send", ID: old, Conversation: g.ID, Body: "first"})
	Await(laptop, "message", IsBody("first"))
	for _, p := range []*User{phone, laptop} {
		p.Send(wire.Send{T: "send", ID: old, Conversation: g.ID, Body: "second"})
		if r := Await(p, "rejected", IsRejected(old)); r.Code != "conflict" || r.RetryAfterMS != 0 {
			t.Errorf("another text: %+v", r)
		}
		p.Send(wire.Send{T: "send", ID: old, Conversation: g.ID, Body: "first"})
		Await(p, "accepted", IsID(old))
	}
	history, err := phone.History(t.Context(), g.ID)
	if err != nil || len(history) != 1 {
		t.Errorf("%d messages are stored, %v", len(history), err)
	}
}

func nonMembersGetNothing(t *testing.T, url string) {
	aki, ben, eve := join(t, url, "aki"), join(t, url, "ben"), join(t, url, "eve")
	g, err := aki.CreateGroup(t.Context(), "Team", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	// A conversation that one is not in, and one that does not exist.
	for _, id := range []chat.ConversationID{g.ID, 12345} {
		sent := eve.SendMessage(id, "let me in")
		if r := Await(eve, "rejected", IsRejected(sent)); r.Code != "not_found" || r.Text != "there is no such conversation" {
			t.Errorf("%d: %+v", id, r)
		}
		eve.Send(wire.Sync{T: "sync", ID: "x", Conversation: id})
		if e := Await[wire.ErrorFrame](eve, "error", nil); e.Code != "not_found" || e.ID != "x" {
			t.Errorf("%d: %+v", id, e)
		}
	}
	eve.Send(wire.Typing{T: "typing", Conversation: g.ID})
	eve.Send(wire.Mark{T: "mark", Conversation: g.ID, Read: 1})
	// Nor the presence of users without a common conversation.
	eve.Send(wire.Watch{T: "watch", Users: []chat.UserID{aki.Me().ID}})
	ExpectNone[wire.PresenceFrame](eve, "presence", nil)

	aki.SendMessage(g.ID, "before")
	Await(ben, "message", IsBody("before"))
	if err := aki.Remove(t.Context(), g.ID, ben.Me().ID); err != nil {
		t.Fatal(err)
	}
	Await(ben, "removed", func(f wire.Removed) bool { return f.Conversation == g.ID })
	aki.SendMessage(g.ID, "after")
	Await(aki, "message", IsBody("after"))
	ExpectNone(ben, "message", IsBody("after"))
	sent := ben.SendMessage(g.ID, "still here?")
	if r := Await(ben, "rejected", IsRejected(sent)); r.Code != "not_found" {
		t.Errorf("a removed member: %+v", r)
	}
	if _, err := ben.History(t.Context(), g.ID); ProblemCode(err) != "not_found" {
		t.Errorf("a removed member reads: %v", err)
	}
	ExpectNone[wire.TypingFrame](aki, "typing", nil)
	ExpectNone[wire.MarkFrame](aki, "mark", nil)
}

// oneFinalAnswer has a member send, leave and come back: each message keeps the
// answer that it got first.
func oneFinalAnswer(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	g, err := aki.CreateGroup(t.Context(), "Team", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	first := ben.SendMessage(g.ID, "before I go")
	Await(ben, "accepted", IsID(first))
	Await(ben, "message", IsBody("before I go"))
	if err := aki.Remove(t.Context(), g.ID, ben.Me().ID); err != nil {
		t.Fatal(err)
	}
	Await(ben, "removed", func(f wire.Removed) bool { return f.Conversation == g.ID })

	// What was accepted stays accepted; nothing of the conversation comes with it.
	ben.Send(wire.Send{T: "send", ID: first, Conversation: g.ID, Body: "before I go"})
	Await(ben, "accepted", IsID(first))
	ben.Send(wire.Send{T: "send", ID: first, Conversation: g.ID, Body: "another text"})
	if r := Await(ben, "rejected", IsRejected(first)); r.Code != "conflict" || r.RetryAfterMS != 0 {
		t.Errorf("another text: %+v", r)
	}
	second := ben.SendMessage(g.ID, "too late")
	if r := Await(ben, "rejected", IsRejected(second)); r.Code != "not_found" {
		t.Errorf("after the removal: %+v", r)
	}
	ExpectNone(ben, "message", IsBody("before I go"))

	// What was rejected stays rejected; a new message is taken.
	if err := aki.Do(t.Context(), "POST", fmt.Sprintf("/conversations/%v/members", g.ID), map[string]any{"users": []string{ben.Me().ID.String()}}, nil); err != nil {
		t.Fatal(err)
	}
	Await(ben, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == g.ID && len(f.Joined) > 0 })
	third := ben.SendMessage(g.ID, "I am back")
	Await(ben, "accepted", IsID(third))
	Await(ben, "message", IsBody("I am back"))
	// The gateway does not look up what is new and comes from a member; the worker
	// does. So it is rejected, or it fails.
	ben.Send(wire.Send{T: "send", ID: second, Conversation: g.ID, Body: "too late"})
	ben.SendMessage(g.ID, "the last")
	Await(aki, "message", IsBody("the last"))
	history, err := aki.History(t.Context(), g.ID)
	if err != nil || len(history) != 3 {
		t.Errorf("%d messages are stored, %v", len(history), err)
	}
}

// lateBound is how long after the answer to a removal frames of the conversation
// may still arrive.
const lateBound = time.Second

// A person who is removed from a small conversation in which much is being written
// gets nothing of it from a second after the answer on, though members go on.
func nothingLate(t *testing.T, url string) {
	aki, ben, chi := join(t, url, "aki"), Register(t, url, fmt.Sprintf("ben%d", userCount.Add(1))), join(t, url, "chi")
	g, err := aki.CreateGroup(t.Context(), "leaky", ben.Me().ID, chi.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var messages int
	var last time.Time // frame of the conversation
	var lastFrame string
	var removed bool
	about := fmt.Sprintf("%q", g.ID.String())
	device, err := ben.Dial(t.Context(), func(f client.Frame) {
		if !strings.Contains(string(f.Raw), about) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		last, lastFrame = time.Now(), string(f.Raw)
		switch f.T {
		case "message":
			messages++
		case "removed":
			removed = true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(device.Close)

	window := make(chan struct{}, 64) // sends without an answer
	flood, err := aki.Dial(t.Context(), func(f client.Frame) {
		if f.T == "accepted" || f.T == "rejected" {
			<-window
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(flood.Close)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var flooding sync.WaitGroup
	flooding.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-flood.Done():
				t.Errorf("the sender's connection ended: %v", flood.Err())
				return
			case window <- struct{}{}:
			}
			if err := flood.Send(wire.Send{T: "send", ID: client.NewClientID(), Conversation: g.ID, Body: "for members"}); err != nil {
				t.Errorf("send: %v", err)
				return
			}
		}
	})
	defer flooding.Wait()
	defer stop()
	eventually.True(t, "the member gets what is written", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return messages >= 200
	})
	if err := aki.Remove(t.Context(), g.ID, ben.Me().ID); err != nil {
		t.Fatal(err)
	}
	answered := time.Now()
	eventually.True(t, "the bound has passed", func() bool { return time.Since(answered) > lateBound+lateBound/2 })
	stop()
	flooding.Wait()
	aki.SendMessage(g.ID, "the last")
	Await(chi, "message", IsBody("the last"))
	mu.Lock()
	defer mu.Unlock()
	if late := last.Sub(answered); late > lateBound {
		t.Errorf("%v after the removal was answered came %s", late, lastFrame)
	}
	if !removed {
		t.Error("the removed device was not told")
	}
}

func largeRoom(t *testing.T, url string) {
	aki := join(t, url, "aki")
	ch, err := aki.CreateChannel(t.Context(), "general")
	if err != nil {
		t.Fatal(err)
	}
	var people []*User
	for range chat.SmallConversation + 6 {
		p := join(t, url, "member")
		if err := p.Join(t.Context(), ch.ID); err != nil {
			t.Fatal(err)
		}
		people = append(people, p)
	}
	aki.SendMessage(ch.ID, "to all")
	for _, p := range people {
		Await(p, "message", IsBody("to all"))
	}
	gone := people[3]
	if err := aki.Remove(t.Context(), ch.ID, gone.Me().ID); err != nil {
		t.Fatal(err)
	}
	aki.SendMessage(ch.ID, "to the rest")
	for _, p := range people {
		if p != gone {
			Await(p, "message", IsBody("to the rest"))
		}
	}
	ExpectNone(gone, "message", IsBody("to the rest"))

	// What one member does beside messages is not sent to that many.
	reader := people[0]
	other := Connect(t, reader.Client)
	reader.Send(wire.Typing{T: "typing", Conversation: ch.ID})
	reader.Send(wire.Mark{T: "mark", Conversation: ch.ID, Read: 2})
	Await(other, "mark", func(f wire.MarkFrame) bool { return f.User == reader.Me().ID && f.Read == 2 })
	reader.SendMessage(ch.ID, "after that")
	Await(aki, "message", IsBody("after that"))
	ExpectNone[wire.TypingFrame](aki, "typing", nil)
	ExpectNone[wire.MarkFrame](aki, "mark", nil)
}

func presence(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	if _, err := aki.CreateDirect(t.Context(), ben.Me().ID); err != nil {
		t.Fatal(err)
	}
	is := func(want chat.Presence) func(wire.PresenceFrame) bool {
		return func(f wire.PresenceFrame) bool {
			return len(f.States) == 1 && f.States[0].User == ben.Me().ID && f.States[0].State == want
		}
	}
	aki.Send(wire.Watch{T: "watch", Users: []chat.UserID{ben.Me().ID}})
	Await(aki, "presence", is(chat.Online))
	ben.Send(wire.Status{T: "status", Away: true})
	Await(aki, "presence", is(chat.Away))
	ben.Socket.Close()
	if f := Await(aki, "presence", is(chat.Offline)); f.States[0].LastSeen == 0 {
		t.Errorf("when was ben last seen? %+v", f)
	}
	Connect(t, ben.Client)
	Await(aki, "presence", is(chat.Online))
}

func catchUp(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	d, err := aki.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	sync := func(cursor string) wire.Synced {
		ben.Send(wire.Sync{T: "sync", ID: "s", Cursor: cursor})
		return Await[wire.Synced](ben, "synced", nil)
	}
	first := sync("")
	if len(first.Conversations) != 1 || first.Conversations[0].ID != d.ID || first.Conversations[0].Peer.ID != aki.Me().ID {
		t.Fatalf("%+v", first)
	}
	if again := sync(first.Cursor); len(again.Conversations) != 0 || again.More {
		t.Errorf("nothing happened, yet: %+v", again)
	}
	ben.Socket.Close()
	for i := range 250 {
		aki.SendMessage(d.ID, fmt.Sprint(i))
	}
	Await(aki, "message", IsBody("249"))
	ben = Connect(t, ben.Client)
	missed := sync(first.Cursor)
	if len(missed.Conversations) != 1 || missed.Conversations[0].Seq != 250 || missed.Conversations[0].Unread != 250 {
		t.Fatalf("%+v", missed)
	}
	rev, seen := first.Conversations[0].Rev, 0
	for {
		ben.Send(wire.Sync{T: "sync", ID: "c", Conversation: d.ID, Rev: rev, Limit: 100})
		c := Await[wire.Changes](ben, "changes", nil)
		for _, m := range c.Messages {
			if m.Body != fmt.Sprint(seen) {
				t.Fatalf("%s where %d was due", m.Body, seen)
			}
			seen++
		}
		if rev = c.Rev; !c.More {
			break
		}
	}
	if seen != 250 || rev != missed.Conversations[0].Rev {
		t.Errorf("%d messages up to rev %d", seen, rev)
	}
	ben.Send(wire.Ping{T: "ping"})
	if p := Await[wire.Pong](ben, "pong", nil); p.NextMS <= 0 {
		t.Errorf("%+v", p)
	}
	ben.Send(wire.Sync{T: "sync", ID: "t", Cursor: missed.Cursor[:len(missed.Cursor)-2] + "AA"})
	if e := Await[wire.ErrorFrame](ben, "error", nil); e.Code != "invalid" || e.ID != "t" {
		t.Errorf("a tampered cursor: %+v", e)
	}
}

// A device that missed what others have read and received finds it, without any
// message having been written since.
func catchUpWithMarks(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	d, err := aki.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	g, err := aki.CreateGroup(t.Context(), "three", ben.Me().ID, join(t, url, "chi").Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []chat.ConversationID{d.ID, g.ID} {
		aki.SendMessage(id, "seen?")
		Await(aki, "message", func(f wire.MessageFrame) bool { return f.Conversation == id })
	}
	sync := func(cursor string) wire.Synced {
		aki.Send(wire.Sync{T: "sync", ID: "s", Cursor: cursor})
		return Await[wire.Synced](aki, "synced", nil)
	}
	before := sync("")
	for _, c := range before.Conversations {
		if c.PeerRead != 0 || c.PeerReceived != 0 || c.OthersRead != 0 {
			t.Errorf("nobody has read anything yet: %+v", c)
		}
	}
	aki.Socket.Close()
	for _, m := range []wire.Mark{{Conversation: d.ID, Received: 1}, {Conversation: d.ID, Read: 1}, {Conversation: g.ID, Read: 1}} {
		m.T = "mark"
		ben.Send(m)
		Await(ben, "mark", func(f wire.MarkFrame) bool { return f.Conversation == m.Conversation && f.Read == m.Read })
		if m.Read == 0 { // the other is not known to the device before it has this one
			aki = Connect(t, aki.Client)
			missed := sync(before.Cursor)
			if len(missed.Conversations) != 1 || missed.Conversations[0].ID != d.ID || missed.Conversations[0].PeerReceived != 1 || missed.Conversations[0].PeerRead != 0 {
				t.Errorf("received: %+v", missed.Conversations)
			}
			before = missed
			aki.Socket.Close()
		}
	}
	aki = Connect(t, aki.Client)
	missed := sync(before.Cursor)
	if len(missed.Conversations) != 2 {
		t.Fatalf("%+v", missed.Conversations)
	}
	for _, c := range missed.Conversations {
		if c.ID == d.ID && (c.PeerRead != 1 || c.PeerReceived != 1 || c.OthersRead != 0) || c.ID == g.ID && c.OthersRead != 1 {
			t.Errorf("read: %+v", c)
		}
	}
	if again := sync(missed.Cursor); len(again.Conversations) != 0 {
		t.Errorf("once more: %+v", again.Conversations)
	}
}

// Others can make what a person has to catch up with as large as they like, but
// not so large that it does not come through: a person whom they have added to
// many conversations, each with long messages that are longer still in JSON, gets
// everything over one connection, also when the device asks for all of it at once.
func catchUpWithLongMessages(t *testing.T, url string) {
	const groups, messages, parallel = 110, 15, 12
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	ben.Socket.Close()
	long := strings.Repeat("<", chat.MaxBody) // \u003c in JSON
	ids := make([]chat.ConversationID, groups)
	for i := range ids {
		g, err := aki.CreateGroup(t.Context(), strings.Repeat("<", chat.MaxTitle), ben.Me().ID)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = g.ID
		n := 1
		if i < parallel {
			n = messages
		}
		for range n {
			sent := aki.SendMessage(g.ID, long)
			Await(aki, "accepted", IsID(sent))
			Await(aki, "message", func(f wire.MessageFrame) bool { return f.ClientID == sent })
		}
	}

	ben = Connect(t, ben.Client)
	seen, pages, cursor := map[chat.ConversationID]wire.Summary{}, 0, ""
	for more := true; more; pages++ {
		ben.Send(wire.Sync{T: "sync", ID: "list", Cursor: cursor, Limit: 200})
		page := Await[wire.Synced](ben, "synced", nil)
		for _, s := range page.Conversations {
			if s.Last == nil || !s.Last.Clipped || s.Last.Body == "" || !strings.HasPrefix(long, s.Last.Body) || len(s.Last.Body) > wire.MaxPreview {
				t.Fatalf("the preview of %d bytes: %+v", len(long), s.Last)
			}
			if _, again := seen[s.ID]; again {
				t.Errorf("conversation %d is listed again", s.ID)
			}
			seen[s.ID] = s
		}
		if len(page.Conversations) == 0 && page.More {
			t.Fatal("a page without an entry, and more is to come")
		}
		cursor, more = page.Cursor, page.More
	}
	if len(seen) != groups || pages < 2 {
		t.Errorf("%d of %d conversations are listed on %d pages", len(seen), groups, pages)
	}
	// Everything at once, and nothing is read before all is asked for.
	rev := map[string]int64{}
	for _, id := range ids {
		ben.Send(wire.Sync{T: "sync", ID: id.String(), Conversation: id, Limit: 200})
	}
	got := map[chat.ConversationID]int{}
	for waiting := groups; waiting > 0; {
		page := Await[wire.Changes](ben, "changes", nil)
		for _, m := range page.Messages {
			if m.Body != long || m.Rev <= rev[page.ID] {
				t.Fatalf("message %d of %d bytes has rev %d, after %d", m.Seq, len(m.Body), m.Rev, rev[page.ID])
			}
			rev[page.ID] = m.Rev
			got[page.Conversation]++
		}
		if rev[page.ID] = page.Rev; page.More {
			ben.Send(wire.Sync{T: "sync", ID: page.ID, Conversation: page.Conversation, Rev: page.Rev, Limit: 200})
		} else {
			waiting--
		}
	}
	for _, id := range ids {
		if s := seen[id]; int64(got[id]) != s.Seq || rev[id.String()] != s.Rev {
			t.Errorf("conversation %d: %d messages up to rev %d of %d up to rev %d", id, got[id], rev[id.String()], s.Seq, s.Rev)
		}
	}
	// The other ways to a summary.
	var one wire.Summary
	if err := ben.Do(t.Context(), http.MethodGet, "/conversations/"+ids[0].String(), nil, &one); err != nil || one.Last == nil || !one.Last.Clipped {
		t.Errorf("one conversation: %+v, %v", one.Last, err)
	}
	var list struct{ Items []wire.Summary }
	if err := ben.Do(t.Context(), http.MethodGet, "/conversations?limit=1", nil, &list); err != nil || len(list.Items) != 1 || list.Items[0].Last == nil || !list.Items[0].Last.Clipped {
		t.Errorf("the list: %+v, %v", list, err)
	}
}

// Control characters are refused wherever a text comes in.
func controlCharacters(t *testing.T, url string) {
	refuseTexts(t, url, "control characters", "bell\a", "\x1b[2J", "\x01", "delete\x7f")
}

// So are texts that show nothing.
func invisibleText(t *testing.T, url string) {
	refuseTexts(t, url, "invisible characters", "\u200b", " \u2060\n", "\u3164", "\u2800")
}

func refuseTexts(t *testing.T, url, reason string, texts ...string) {
	t.Helper()
	aki := join(t, url, "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/conversations/%s/messages", g.ID)
	const fine = "tab\tline\nline\r\n"
	sent := aki.SendMessage(g.ID, fine)
	if m := Await(aki, "message", func(f wire.MessageFrame) bool { return f.ClientID == sent }); m.Body != fine {
		t.Errorf("%q was stored as %q", fine, m.Body)
	}
	for _, bad := range texts {
		sent := aki.SendMessage(g.ID, bad)
		if r := Await(aki, "rejected", IsRejected(sent)); r.Code != "invalid" || r.RetryAfterMS != 0 || !strings.Contains(r.Text, reason) {
			t.Errorf("%q by socket: %+v", bad, r)
		}
		body := map[string]any{"id": client.NewClientID(), "body": bad}
		err := aki.Do(t.Context(), http.MethodPost, path, body, nil)
		if ProblemCode(err) != "invalid" || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q by REST: %v", bad, err)
		}
		err = aki.Do(t.Context(), http.MethodPatch, path+"/1", map[string]string{"body": bad}, nil)
		if ProblemCode(err) != "invalid" || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q as an edit: %v", bad, err)
		}
	}
}

func malformedFrames(t *testing.T, url string) {
	aki := join(t, url, "aki")
	for _, tt := range []struct{ in, code string }{
		{"hello", "malformed"},
		{"[]", "malformed"},
		{`{"t":"send","id":"x","conversation":"1"}`, "malformed"},
		{`{"t":"typing"}`, "malformed"},
		{`{"t":"watch","users":["` + strings.Repeat(`1","`, 600) + `1"]}`, "too_large"},
	} {
		if err := aki.Socket.SendRaw([]byte(tt.in)); err != nil {
			t.Fatal(err)
		}
		if e := Await[wire.ErrorFrame](aki, "error", nil); e.Code != tt.code {
			t.Errorf("%s: %+v", tt.in, e)
		}
	}
	if err := aki.Socket.SendRaw([]byte(`{"t":"from the future","id":[]}`)); err != nil {
		t.Fatal(err)
	}
	ExpectNone[wire.ErrorFrame](aki, "error", nil) // and the connection lives
}

func frameTooLarge(t *testing.T, url string) {
	aki := join(t, url, "aki")
	_ = aki.Socket.SendRaw(make([]byte, aki.Socket.Hello.Limits.FrameBytes+1))
	if code := CloseCode(t, aki); code != 1009 {
		t.Errorf("closed with %d, want 1009", code)
	}
}

func revokedSessionIsClosed(t *testing.T, url string) {
	aki := join(t, url, "aki")
	other := Connect(t, aki.Client)
	if err := aki.Do(t.Context(), http.MethodPost, "/logout", nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*User{aki, other} {
		if code := CloseCode(t, p); code != wire.CloseRevoked {
			t.Errorf("closed with %d, want %d", code, wire.CloseRevoked)
		}
	}
	if _, err := aki.Dial(t.Context(), nil); err == nil {
		t.Error("an ended session connects")
	}
}
