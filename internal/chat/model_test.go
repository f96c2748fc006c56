package chat_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// model is a conversation in memory that applies the domain rules as a store does.
type model struct {
	head     chat.Head
	roles    map[chat.UserID]chat.Role
	messages []chat.Message // by seq
	sent     map[sentKey]int
	failed   map[sentKey]*chat.Failure
}

type sentKey struct {
	user chat.UserID
	id   chat.ClientID
}

func (l *model) submit(s *chat.Submission, now time.Time) (chat.Message, chat.Verdict, error) {
	var earlier chat.Earlier
	key := sentKey{s.Sender, s.ClientID}
	if i, ok := l.sent[key]; ok {
		earlier.Message = &l.messages[i]
	} else {
		earlier.Failure = l.failed[key]
	}
	m, verdict, err := l.head.Admit(s, l.roles[s.Sender], earlier, chat.MessageID(len(l.messages)+1), now)
	var refusal *chat.Error
	switch {
	case verdict == chat.Stored:
		l.sent[key] = len(l.messages)
		l.messages = append(l.messages, m)
	case errors.As(err, &refusal) && earlier.None():
		l.failed[key] = chat.NewFailure(s, refusal, now)
	}
	return m, verdict, err
}

// For any sequence of operations: seq and rev have no gap, nothing is stored twice,
// what has failed stays so, non-members change nothing, and a tombstone stays one.
func TestInvariantsUnderAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &model{roles: map[chat.UserID]chat.Role{1: chat.Owner}, sent: map[sentKey]int{}, failed: map[sentKey]*chat.Failure{}}
		now := time.UnixMilli(1_800_000_000_000)
		user := func(t *rapid.T) chat.UserID { return chat.UserID(rapid.IntRange(1, 4).Draw(t, "user")) }
		submission := func(t *rapid.T) *chat.Submission {
			s := &chat.Submission{
				Sender: user(t), Conversation: 1,
				Body:    rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "body"),
				ReplyTo: int64(rapid.IntRange(0, 3).Draw(t, "reply to")),
			}
			s.ClientID[15] = byte(rapid.IntRange(1, 12).Draw(t, "id"))
			return s
		}
		message := func(t *rapid.T) *chat.Message {
			if len(l.messages) == 0 {
				t.Skip("no messages yet")
			}
			return &l.messages[rapid.IntRange(0, len(l.messages)-1).Draw(t, "message")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				s := submission(t)
				before, role := l.head, l.roles[s.Sender]
				_, again := l.sent[sentKey{s.Sender, s.ClientID}]
				failed := l.failed[sentKey{s.Sender, s.ClientID}]
				m, verdict, err := l.submit(s, now)
				switch {
				case verdict == chat.Stored:
					if again || failed != nil || role == "" || m.Seq != before.Seq+1 || m.Rev != before.Rev+1 || s.Body == "" {
						t.Fatalf("stored %+v as %+v", s, m)
					}
					if m, verdict, err := l.submit(s, now); verdict != chat.Duplicate || err != nil || m.Seq != before.Seq+1 {
						t.Fatalf("the same again: %v, %v", verdict, err)
					}
				case l.head != before:
					t.Fatal("the head moved and nothing was stored")
				case verdict == chat.Duplicate && !again:
					t.Fatal("a duplicate of nothing")
				case again && err != nil && chat.CodeOf(err) != chat.CodeConflict:
					t.Fatalf("a name that is taken: %v", err)
				case failed != nil && failed.Digest == s.Digest() && chat.CodeOf(err) != failed.Code:
					t.Fatalf("it failed with %s, and now: %v", failed.Code, err)
				case failed != nil && failed.Digest != s.Digest() && chat.CodeOf(err) != chat.CodeConflict:
					t.Fatalf("a name that failed with another text: %v", err)
				}
			},
			"edit": func(t *rapid.T) {
				m, by := message(t), user(t)
				before, old := l.head, *m
				changed, err := l.head.Edit(m, by, l.roles[by], rapid.SampledFrom([]string{"x", "y"}).Draw(t, "text"), now)
				if changed && (by != m.Sender || l.roles[by] == "" || old.Deleted() || m.Rev != before.Rev+1) {
					t.Fatalf("user %d (%q) edited %+v", by, l.roles[by], old)
				}
				if !changed && (l.head != before || *m != old) {
					t.Fatal("a refused edit changed something")
				}
				if changed && err != nil {
					t.Fatal(err)
				}
			},
			"delete": func(t *rapid.T) {
				m, by := message(t), user(t)
				before, old := l.head, *m
				changed, _ := l.head.Delete(m, by, l.roles[by], now)
				if changed && (old.Deleted() || m.Body != "" || (by != m.Sender && !l.roles[by].MayManage()) || l.roles[by] == "") {
					t.Fatalf("user %d (%q) deleted %+v", by, l.roles[by], old)
				}
				if !changed && (l.head != before || *m != old) {
					t.Fatal("a refused delete changed something")
				}
			},
			"join or leave": func(t *rapid.T) {
				role := rapid.SampledFrom([]chat.Role{"", chat.Member, chat.Admin}).Draw(t, "role")
				l.roles[user(t)] = role
			},
			"": func(t *rapid.T) {
				revs := map[int64]bool{}
				for i, m := range l.messages {
					if m.Seq != int64(i+1) || m.Rev > l.head.Rev || revs[m.Rev] {
						t.Fatalf("message %d is %+v, head %+v", i+1, m, l.head)
					}
					revs[m.Rev] = true
				}
				if l.head.Seq != int64(len(l.messages)) {
					t.Fatalf("head %+v, %d messages", l.head, len(l.messages))
				}
			},
		})
	})
}
