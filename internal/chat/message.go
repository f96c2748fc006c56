package chat

import "time"

// Message is a message as it is stored.
type Message struct {
	ID           MessageID
	Conversation ConversationID
	Seq          int64 // position in the conversation: 1, 2, 3 … without a gap
	Rev          int64 // of its last change
	Sender       UserID
	ClientID     ClientID
	Body         string    // Markdown; empty once deleted
	ReplyTo      int64     // seq of the message that it answers, 0 for none
	At           time.Time // when it was stored, to the millisecond
	EditedAt     time.Time // zero when never edited
	DeletedAt    time.Time // zero unless it is a tombstone
	// TextCheck is what is left of the text that was sent, once it was edited or
	// deleted: enough to recognize another text, and too little to guess a deleted
	// one. 1 to 65,536; 0 while Body is what was sent.
	TextCheck int64
}

// Deleted reports whether the message is a tombstone.
func (m *Message) Deleted() bool { return !m.DeletedAt.IsZero() }

// Submission is a message that was sent and is not stored yet.
type Submission struct {
	Sender       UserID
	Conversation ConversationID
	ClientID     ClientID
	Body         string
	ReplyTo      int64     // seq, 0 for none
	ReceivedAt   time.Time // when the gateway or the API received it
	// Requeued reports whether an operator asks for a new decision about it
	// after it has failed.
	Requeued bool
	// Retried reports whether the store has left it undecided before: now the store
	// may wait for what keeps it.
	Retried bool
}

// Check returns a refusal when the submission can never be stored.
func (s *Submission) Check() error {
	if s.ReplyTo < 0 {
		return Refuse(CodeInvalid, "reply_to", "must be the seq of a message")
	}
	return CheckBody(s.Body)
}

// Head is the Seq of a conversation's last message and the Rev of its last change.
type Head struct {
	Seq int64
	Rev int64
}

// Verdict is the result of [Head.Admit].
type Verdict int

// The verdicts.
const (
	Stored    Verdict = iota + 1 // it is new, and gets the next seq and rev
	Duplicate                    // it was stored before
)

// Admit decides about a submission, in the transaction that stores it. role is the
// role of the sender ("" for none), earlier what became of a submission of this
// sender with the same client id, in any conversation. When the verdict is Stored,
// msg has the next Seq and Rev and the head has advanced; when it is Duplicate,
// msg is the earlier message. A refusal is an [*Error] and changes nothing.
//
// What was sent before decides before membership does: a submission gets the same
// answer for ever, also after its author has left, or is back.
func (h *Head) Admit(s *Submission, role Role, earlier Earlier, id MessageID, now time.Time) (msg Message, verdict Verdict, err error) {
	if msg, verdict, refusal := earlier.Answer(s); refusal != nil {
		return Message{}, 0, refusal
	} else if verdict != 0 {
		return msg, verdict, nil
	}
	if !role.MayPost() {
		return Message{}, 0, NotFound("conversation")
	}
	if err := s.Check(); err != nil {
		return Message{}, 0, err
	}
	if s.ReplyTo > h.Seq {
		return Message{}, 0, Refuse(CodeInvalid, "reply_to", "there is no message %d to reply to", s.ReplyTo)
	}
	h.Seq++
	h.Rev++
	return Message{
		ID: id, Conversation: s.Conversation, Seq: h.Seq, Rev: h.Rev,
		Sender: s.Sender, ClientID: s.ClientID, Body: s.Body, ReplyTo: s.ReplyTo,
		At: now.Truncate(time.Millisecond),
	}, Stored, nil
}

// SameAs reports whether m was stored from s. When m was edited or deleted since,
// its original text is gone, and TextCheck takes its place: one of 65,536 other
// texts is not recognized. Without one, as when an early version changed m, only
// conversation and reply are compared.
func (m *Message) SameAs(s *Submission) bool {
	switch {
	case m.Conversation != s.Conversation || m.ReplyTo != s.ReplyTo:
		return false
	case m.TextCheck != 0:
		return m.TextCheck == s.textCheck()
	}
	return m.Body == s.Body || !m.EditedAt.IsZero() || m.Deleted()
}

// textCheck returns the TextCheck of the message that is stored from s.
func (s *Submission) textCheck() int64 {
	d := s.Digest()
	return 1 + int64(d[0])<<8 + int64(d[1])
}

// keepTextCheck sets TextCheck before the text is changed for the first time.
func (m *Message) keepTextCheck() {
	if m.EditedAt.IsZero() && !m.Deleted() {
		sent := Submission{Conversation: m.Conversation, ReplyTo: m.ReplyTo, Body: m.Body}
		m.TextCheck = sent.textCheck()
	}
}

// Edit changes the text of m. by is the editing user and role the role of that
// user in the conversation ("" for none). It reports false when the text is the
// same already, so that a repeated edit changes nothing.
func (h *Head) Edit(m *Message, by UserID, role Role, body string, now time.Time) (changed bool, err error) {
	switch {
	case !role.MayPost():
		return false, NotFound("message")
	case m.Sender != by:
		return false, Refuse(CodeForbidden, "", "only its author may edit a message")
	case m.Deleted():
		return false, Refuse(CodeConflict, "", "the message was deleted")
	}
	if err := CheckBody(body); err != nil {
		return false, err
	}
	if m.Body == body {
		return false, nil
	}
	h.Rev++
	m.keepTextCheck()
	m.Body, m.Rev, m.EditedAt = body, h.Rev, now.Truncate(time.Millisecond)
	return true, nil
}

// Delete makes m a tombstone: it removes the text and keeps seq, sender and times.
// The author may do so, and owners and admins of the conversation. It reports
// false when m is a tombstone already.
func (h *Head) Delete(m *Message, by UserID, role Role, now time.Time) (changed bool, err error) {
	switch {
	case !role.MayPost():
		return false, NotFound("message")
	case m.Sender != by && !role.MayManage():
		return false, Refuse(CodeForbidden, "", "only its author or an admin of the conversation may delete a message")
	case m.Deleted():
		return false, nil
	}
	h.Rev++
	m.keepTextCheck()
	m.Body, m.Rev, m.DeletedAt = "", h.Rev, now.Truncate(time.Millisecond)
	return true, nil
}

// Outcome is the result of one submission of a batch.
type Outcome struct {
	Verdict  Verdict  // 0 when refused
	Message  Message  // when stored or a duplicate
	Audience Audience // when stored or a duplicate
	Refusal  *Error   // when refused; see Undecided
}

// Undecided reports whether the refusal of an [Outcome] says that nothing was
// decided: the conversation cannot be changed now, though others can. The
// submission is to be tried again, and before everything that is behind it in its
// conversation. No other refusal of an outcome has CodeUnavailable.
func Undecided(refusal *Error) bool { return refusal != nil && refusal.Code == CodeUnavailable }
