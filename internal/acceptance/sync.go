package acceptance

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// do calls the REST API and fails the test when it refuses.
func (p *User) do(method, path string, in any) {
	p.t.Helper()
	if err := p.Do(p.t.Context(), method, path, in, nil); err != nil {
		p.t.Fatal(err)
	}
}

// list asks for the whole list of what changed after a cursor.
func (p *User) list(cursor string) (all wire.Synced) {
	p.t.Helper()
	for {
		p.Send(wire.Sync{T: "sync", ID: "list", Cursor: cursor})
		page := Await[wire.Synced](p, "synced", nil)
		all.Conversations = append(all.Conversations, page.Conversations...)
		all.Gone = append(all.Gone, page.Gone...)
		all.Cursor, cursor = page.Cursor, page.Cursor
		if !page.More {
			return all
		}
	}
}

// changes asks for the changes of a conversation after rev, with one answer.
func (p *User) changes(id chat.ConversationID, rev int64) wire.Changes {
	p.t.Helper()
	p.Send(wire.Sync{T: "sync", ID: "changes", Conversation: id, Rev: rev})
	return Await[wire.Changes](p, "changes", nil)
}

// Every change of a conversation takes the next rev, and its frame says which;
// an answer without more ends at the last change, whatever that was.
func everyChangeHasARev(t *testing.T, url string) {
	aki, ben, cho := join(t, url, "aki"), join(t, url, "ben"), join(t, url, "cho")
	g, err := aki.CreateGroup(t.Context(), "Team", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	first := Await(ben, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == g.ID })
	if first.Conversation.Rev != 1 || len(first.Joined) != 2 {
		t.Errorf("a group of two: %+v", first)
	}
	path := fmt.Sprintf("/conversations/%s", g.ID)
	aki.SendMessage(g.ID, "one")
	if m := Await(ben, "message", IsBody("one")); m.Seq != 1 || m.Rev != 2 {
		t.Errorf("one: %+v", m)
	}
	aki.SendMessage(g.ID, "two")
	if m := Await(ben, "message", IsBody("two")); m.Seq != 2 || m.Rev != 3 {
		t.Errorf("two: %+v", m)
	}
	aki.do(http.MethodPatch, path+"/messages/1", map[string]string{"body": "one, edited"})
	if m := Await[wire.MessageFrame](ben, "edited", nil); m.Seq != 1 || m.Rev != 4 || m.EditedAt == 0 {
		t.Errorf("edited: %+v", m)
	}
	aki.do(http.MethodPatch, path, map[string]string{"title": "Team 2"})
	if f := Await[wire.ConversationFrame](ben, "conversation", nil); f.Conversation.Rev != 5 || f.Conversation.Title != "Team 2" {
		t.Errorf("renamed: %+v", f)
	}
	aki.do(http.MethodPost, path+"/members", map[string]any{"users": []string{cho.Me().ID.String()}})
	f := Await[wire.ConversationFrame](ben, "conversation", nil)
	if c := f.Conversation; c.Rev != 6 || c.MembersRev != 6 || c.Members != 3 || len(f.Joined) != 1 || f.Joined[0] != cho.Me() || f.By != aki.Me().ID {
		t.Errorf("joined: %+v", f)
	}
	aki.do(http.MethodPatch, fmt.Sprintf("%s/members/%s", path, cho.Me().ID), map[string]string{"role": "admin"})
	if f := Await[wire.ConversationFrame](ben, "conversation", nil); f.Conversation.Rev != 7 || f.Conversation.MembersRev != 7 {
		t.Errorf("a role: %+v", f)
	}
	aki.do(http.MethodDelete, path+"/messages/2", nil)
	if m := Await[wire.MessageFrame](ben, "deleted", nil); m.Seq != 2 || m.Rev != 8 || m.Body != "" || m.Sender != aki.Me().ID {
		t.Errorf("deleted: %+v", m)
	}
	aki.do(http.MethodDelete, fmt.Sprintf("%s/members/%s", path, cho.Me().ID), nil)
	if f := Await[wire.ConversationFrame](ben, "conversation", nil); f.Conversation.Rev != 9 || len(f.Left) != 1 || f.Left[0] != cho.Me() {
		t.Errorf("left: %+v", f)
	}
	if r := Await[wire.Removed](cho, "removed", nil); r.Conversation != g.ID || r.Rev != 9 {
		t.Errorf("removed: %+v", r)
	}
	// What changes nothing takes none.
	aki.do(http.MethodPatch, path, map[string]string{"title": "Team 2"})
	aki.do(http.MethodPatch, path+"/messages/1", map[string]string{"body": "one, edited"})
	aki.do(http.MethodDelete, path+"/messages/2", nil)

	all := ben.changes(g.ID, 0)
	if all.Rev != 9 || all.More || len(all.Messages) != 2 || all.Messages[0].Seq != 1 || all.Messages[0].Rev != 4 || all.Messages[1].Rev != 8 {
		t.Errorf("all changes: %+v", all)
	}
	if some := ben.changes(g.ID, 4); some.Rev != 9 || some.More || len(some.Messages) != 1 || some.Messages[0].Seq != 2 {
		t.Errorf("changes after 4: %+v", some)
	}
	if none := ben.changes(g.ID, 9); none.Rev != 9 || none.More || len(none.Messages) != 0 {
		t.Errorf("changes after the last: %+v", none)
	}
	var page struct {
		Items               []wire.Message
		HasBefore, HasAfter bool
		Rev                 int64
	}
	request(t, url, ben.Token(), http.MethodGet, path+"/messages", "").into(t, &page)
	if page.Rev != 9 || len(page.Items) != 2 || page.Items[0] != all.Messages[0] || page.Items[1] != all.Messages[1] {
		t.Errorf("history: %+v", page)
	}
}

// Who joins sees what was written before, and none of it is unread.
func historyBeforeJoining(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	c, err := aki.CreateChannel(t.Context(), "general")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		aki.SendMessage(c.ID, fmt.Sprint(i))
		Await(aki, "message", IsBody(fmt.Sprint(i)))
	}
	before := ben.list("")
	if len(before.Conversations) != 0 {
		t.Errorf("before: %+v", before)
	}
	if err := ben.Join(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	f := Await(ben, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == c.ID })
	if len(f.Joined) != 1 || f.Joined[0].ID != ben.Me().ID {
		t.Errorf("joined: %+v", f)
	}
	after := ben.list(before.Cursor)
	if len(after.Conversations) != 1 || after.Conversations[0].Unread != 0 || after.Conversations[0].Read != 3 || after.Conversations[0].Role != chat.Member {
		t.Errorf("after: %+v", after)
	}
	if all := ben.changes(c.ID, 0); len(all.Messages) != 3 || all.Rev != f.Conversation.Rev {
		t.Errorf("changes: %+v", all)
	}
	history, err := ben.History(t.Context(), c.ID)
	if err != nil || len(history) != 3 {
		t.Errorf("history: %+v, %v", history, err)
	}
}

// A device that was away when its user left a conversation hears of it.
func leftWhileAway(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	g, err := aki.CreateGroup(t.Context(), "Team", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	begin := ben.list("")
	if len(begin.Conversations) != 1 || begin.Conversations[0].ID != g.ID {
		t.Fatalf("%+v", begin)
	}
	ben.Socket.Close()
	if err := aki.Remove(t.Context(), g.ID, ben.Me().ID); err != nil {
		t.Fatal(err)
	}
	ben = Connect(t, ben.Client)
	gone := ben.list(begin.Cursor)
	if len(gone.Conversations) != 0 || len(gone.Gone) != 1 || gone.Gone[0] != g.ID {
		t.Errorf("after the cursor: %+v", gone)
	}
	if all := ben.list(""); len(all.Conversations) != 0 || len(all.Gone) != 0 {
		t.Errorf("from the beginning: %+v", all)
	}
	aki.do(http.MethodPost, fmt.Sprintf("/conversations/%s/members", g.ID), map[string]any{"users": []string{ben.Me().ID.String()}})
	if back := ben.list(gone.Cursor); len(back.Conversations) != 1 || len(back.Gone) != 0 {
		t.Errorf("back again: %+v", back)
	}
}

// A cursor is one user's. Another is refused for good, not for now.
func cursorsOfOthers(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	for i, cursor := range []string{aki.list("").Cursor, "nothing", "AAAA"} {
		id := fmt.Sprint(i)
		ben.Send(wire.Sync{T: "sync", ID: id, Cursor: cursor})
		e := Await(ben, "error", func(f wire.ErrorFrame) bool { return f.ID == id })
		if e.Code != "invalid" || e.RetryAfterMS != 0 {
			t.Errorf("%q: %+v", cursor, e)
		}
	}
}

// Marks move forward, as far as there are messages, and all of a user's devices
// hear of it.
func marks(t *testing.T, url string) {
	aki, phone := join(t, url, "aki"), join(t, url, "ben")
	laptop := Connect(t, phone.Client)
	d, err := aki.CreateDirect(t.Context(), phone.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two"} {
		aki.SendMessage(d.ID, body)
		Await(phone, "message", IsBody(body))
	}
	begin := phone.list("")
	if s := begin.Conversations[0]; s.Read != 0 || s.Unread != 2 {
		t.Errorf("unread: %+v", s)
	}
	at := func(read, received int64) func(wire.MarkFrame) bool {
		return func(f wire.MarkFrame) bool {
			return f.User == phone.Me().ID && f.Conversation == d.ID && f.Read == read && f.Received == received
		}
	}
	phone.Send(wire.Mark{T: "mark", Conversation: d.ID, Received: 2})
	for _, p := range []*User{aki, phone, laptop} {
		Await(p, "mark", at(0, 2))
	}
	phone.Send(wire.Mark{T: "mark", Conversation: d.ID, Read: 99}) // beyond the last message
	for _, p := range []*User{aki, phone, laptop} {
		Await(p, "mark", at(2, 2))
	}
	phone.Send(wire.Mark{T: "mark", Conversation: d.ID, Read: 1}) // back
	phone.SendMessage(d.ID, "three")
	Await(aki, "message", IsBody("three"))
	ExpectNone[wire.MarkFrame](aki, "mark", nil)
	var one wire.Summary
	request(t, url, aki.Token(), http.MethodGet, "/conversations/"+d.ID.String(), "").into(t, &one)
	if one.PeerRead != 2 || one.PeerReceived != 2 {
		t.Errorf("the other side: %+v", one)
	}
	// A mark is a change of the list, and takes no rev.
	after := phone.list(begin.Cursor)
	if len(after.Conversations) != 1 || after.Conversations[0].Read != 2 || after.Conversations[0].Unread != 0 || after.Conversations[0].Rev != 4 {
		t.Errorf("after: %+v", after)
	}
}

// The frames of a user's own doing go to all of the user's devices, but for
// typing, which goes to others.
func ownDevices(t *testing.T, url string) {
	phone, ben := join(t, url, "aki"), join(t, url, "ben")
	laptop := Connect(t, phone.Client)
	d, err := phone.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	phone.Send(wire.Typing{T: "typing", Conversation: d.ID})
	Await[wire.TypingFrame](ben, "typing", nil)
	id := phone.SendMessage(d.ID, "hello")
	for _, p := range []*User{phone, laptop} {
		if m := Await(p, "message", IsBody("hello")); m.ClientID != id {
			t.Errorf("%+v", m)
		}
	}
	ExpectNone[wire.TypingFrame](laptop, "typing", nil)
	ExpectNone[wire.Accepted](laptop, "accepted", nil) // answers go to the connection that asked
}

// A message that answers one that is not there is never stored.
func repliesToNothing(t *testing.T, url string) {
	aki := join(t, url, "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	id := client.NewClientID()
	aki.Send(wire.Send{T: "send", ID: id, Conversation: g.ID, Body: "to nothing", ReplyTo: 7})
	// Where a message is accepted before it is stored, it fails afterwards.
	var digest chat.Digest
	aki.AwaitAnswer(id, func(r *wire.Rejected) {
		if r.Code != "invalid" || r.RetryAfterMS != 0 {
			t.Errorf("rejected: %+v", r)
		}
		digest = chat.Digest{1}
	})
	if digest == (chat.Digest{}) {
		f := Await(aki, "failed", func(f wire.Failed) bool { return f.ID == id })
		s := chat.Submission{Conversation: g.ID, ReplyTo: 7, Body: "to nothing"}
		if f.Code != "invalid" || f.Digest != s.Digest() {
			t.Errorf("failed: %+v", f)
		}
		aki.Send(wire.Sync{T: "sync", ID: "f"})
		if page := Await[wire.Synced](aki, "synced", nil); len(page.Failed) != 1 || page.Failed[0] != f.Failure {
			t.Errorf("failed: %+v", page)
		}
	}
	aki.SendMessage(g.ID, "the first")
	if m := Await[wire.MessageFrame](aki, "message", nil); m.Body != "the first" || m.Seq != 1 {
		t.Errorf("%+v", m)
	}
}
