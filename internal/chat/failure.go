package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// Digest identifies what was sent under a client id: conversation, reply and
// text. So an answer can say which attempt it is about, when a device has used
// one client id for two.
type Digest [16]byte

// Digest returns the first 16 bytes of the SHA-256 of conversation, reply and
// text, with a line feed between them; the numbers are decimal.
func (s *Submission) Digest() Digest {
	h := sha256.New()
	line := make([]byte, 0, 48)
	line = append(strconv.AppendInt(line, int64(s.Conversation), 10), '\n')
	line = append(strconv.AppendInt(line, s.ReplyTo, 10), '\n')
	_, _ = h.Write(line) // never fails
	_, _ = h.Write([]byte(s.Body))
	return Digest(h.Sum(nil)[:len(Digest{})])
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the digest in lower-case hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("%q is not the digest of a message", truncate(string(text)))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("%q is not the digest of a message", truncate(string(text)))
	}
	return nil
}

// Failure is the final refusal of a submission, as it is stored: whoever is asked
// about the same submission again gives the same answer.
type Failure struct {
	Sender       UserID
	ClientID     ClientID
	Conversation ConversationID
	Digest       Digest
	Code         Code
	Field        string
	Text         string
	At           time.Time // when it was decided, to the millisecond
}

// NewFailure returns the failure of a submission.
func NewFailure(s *Submission, refusal *Error, now time.Time) *Failure {
	return &Failure{
		Sender: s.Sender, ClientID: s.ClientID, Conversation: s.Conversation, Digest: s.Digest(),
		Code: refusal.Code, Field: refusal.Field, Text: refusal.Text, At: now.Truncate(time.Millisecond).UTC(),
	}
}

// Refusal returns the refusal that was stored.
func (f *Failure) Refusal() *Error { return &Error{Code: f.Code, Field: f.Field, Text: f.Text} }

// Earlier is what became of a submission: of at most one for each sender and
// client id. The zero value says that nothing is known of any.
type Earlier struct {
	Message *Message // it was stored
	Failure *Failure // it was refused finally
}

// None reports whether nothing was sent before.
func (e Earlier) None() bool { return e.Message == nil && e.Failure == nil }

// Answer returns the answer to s that follows from what was sent before under its
// client id: a duplicate of the message, or a refusal. Both are zero when nothing
// follows, and s is to be decided about.
func (e Earlier) Answer(s *Submission) (msg Message, verdict Verdict, refusal *Error) {
	switch {
	case e.Message != nil && e.Message.SameAs(s):
		return *e.Message, Duplicate, nil
	case e.Message == nil && (e.Failure == nil || s.Requeued):
		return Message{}, 0, nil
	case e.Failure != nil && e.Failure.Digest == s.Digest():
		return Message{}, 0, e.Failure.Refusal()
	}
	return Message{}, 0, Refuse(CodeConflict, "id", "another message was sent under this id")
}
