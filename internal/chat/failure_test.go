package chat_test

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// The digest is part of the protocol: clients compute it as well.
func TestDigest(t *testing.T) {
	s := chat.Submission{Sender: 9, Conversation: 7, ReplyTo: 2, Body: "hello 飛脚"}
	// printf '7\n2\nhello 飛脚' | sha256sum
	if got, want := s.Digest().String(), "0e4aa096255d4b01c4d84f9bbfa61f75"; got != want {
		t.Errorf("the digest is %s, want %s", got, want)
	}
	for what, other := range map[string]chat.Submission{
		"conversation": {Conversation: 72, Body: s.Body}, "reply": {Conversation: 7, ReplyTo: 1, Body: s.Body}, "text": {Conversation: 7, ReplyTo: 2},
	} {
		if other.Digest() == s.Digest() {
			t.Errorf("another %s has the same digest", what)
		}
	}
	s.Sender, s.ClientID[0], s.ReceivedAt = 8, 1, time.Now()
	if s.Digest().String() != "0e4aa096255d4b01c4d84f9bbfa61f75" {
		t.Error("the digest says more than what was sent")
	}
}

func TestDigestText(t *testing.T) {
	d := (&chat.Submission{Conversation: 1, Body: "x"}).Digest()
	text, err := d.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back chat.Digest
	if err := back.UnmarshalText(text); err != nil || back != d {
		t.Errorf("%s became %s, %v", d, back, err)
	}
	for _, bad := range []string{"", "00", string(text) + "00", "zz" + string(text[2:])} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestAnswer(t *testing.T) {
	s := &chat.Submission{Sender: 1, Conversation: 7, Body: "text"}
	other := &chat.Submission{Sender: 1, Conversation: 7, Body: "another text"}
	failure := chat.NewFailure(s, chat.NotFound("conversation"), time.Now())
	requeued := *s
	requeued.Requeued = true
	message := &chat.Message{Conversation: 7, Seq: 3, Sender: 1, Body: "text"}
	for name, tt := range map[string]struct {
		earlier chat.Earlier
		s       *chat.Submission
		verdict chat.Verdict
		code    chat.Code
	}{
		"nothing before":            {chat.Earlier{}, s, 0, ""},
		"stored":                    {chat.Earlier{Message: message}, s, chat.Duplicate, ""},
		"stored with another text":  {chat.Earlier{Message: message}, other, 0, chat.CodeConflict},
		"failed":                    {chat.Earlier{Failure: failure}, s, 0, chat.CodeNotFound},
		"failed with another text":  {chat.Earlier{Failure: failure}, other, 0, chat.CodeConflict},
		"failed, and requeued":      {chat.Earlier{Failure: failure}, &requeued, 0, ""},
		"stored, and then requeued": {chat.Earlier{Message: message}, &requeued, chat.Duplicate, ""},
	} {
		msg, verdict, refusal := tt.earlier.Answer(tt.s)
		var code chat.Code
		if refusal != nil {
			code = refusal.Code
		}
		if verdict != tt.verdict || code != tt.code || (verdict == chat.Duplicate) != (msg.Seq == 3) {
			t.Errorf("%s: %+v, %v, %v", name, msg, verdict, refusal)
		}
	}
}

// Another text is recognized after an edit and after a deletion, and the one that
// was sent still is.
func TestSameAsAfterChanges(t *testing.T) {
	sent := chat.Submission{Sender: 1, Conversation: 7, ReplyTo: 2, Body: "sent"}
	other := sent
	other.Body = "edited"
	h := chat.Head{Seq: 3, Rev: 3}
	m := chat.Message{Conversation: 7, Seq: 3, Rev: 3, Sender: 1, ReplyTo: 2, Body: sent.Body}
	check := func(when string) {
		t.Helper()
		if !m.SameAs(&sent) || m.SameAs(&other) {
			t.Errorf("%s: the text that was sent: %v, another: %v", when, m.SameAs(&sent), m.SameAs(&other))
		}
	}
	check("as it was sent")
	for _, body := range []string{"edited", "edited again"} {
		if _, err := h.Edit(&m, 1, chat.Member, body, time.Now()); err != nil {
			t.Fatal(err)
		}
		check(body)
	}
	if _, err := h.Delete(&m, 1, chat.Member, time.Now()); err != nil {
		t.Fatal(err)
	}
	check("deleted")
	// Of a message that an early version changed nothing is left to compare.
	m.TextCheck = 0
	if !m.SameAs(&sent) || !m.SameAs(&other) {
		t.Error("without a check")
	}
}
