package rabbitmq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// A batch is a version, and then each submission: sender, conversation, reply
// and time as varints, the client's id as its 16 bytes, the text behind its
// length. Batches outlive the program that wrote them: a new version must read
// the old ones.
const batchVersion = 1

func beginBatch(b []byte) []byte { return append(b, batchVersion) }

func appendSubmission(b []byte, s *chat.Submission) []byte {
	b = binary.AppendUvarint(b, uint64(s.Sender))       //nolint:gosec // ids are positive
	b = binary.AppendUvarint(b, uint64(s.Conversation)) //nolint:gosec // ids are positive
	b = binary.AppendVarint(b, s.ReplyTo)
	b = binary.AppendVarint(b, s.ReceivedAt.UnixMilli())
	b = append(b, s.ClientID[:]...)
	b = binary.AppendUvarint(b, uint64(len(s.Body)))
	return append(b, s.Body...)
}

var errMalformed = errors.New("the batch is malformed")

// decodeBatch reads a batch. The texts are copied out of b.
func decodeBatch(b []byte) ([]chat.Submission, error) {
	if len(b) == 0 || b[0] != batchVersion {
		return nil, fmt.Errorf("%w: it is not of version %d", errMalformed, batchVersion)
	}
	b = b[1:]
	text := string(b) // one copy for all texts
	at := 0
	var out []chat.Submission
	for at < len(b) {
		var s chat.Submission
		ok := true
		unsigned := func() uint64 {
			v, n := binary.Uvarint(b[at:])
			ok = ok && n > 0
			at += max(n, 0)
			return v
		}
		signed := func() int64 {
			v, n := binary.Varint(b[at:])
			ok = ok && n > 0
			at += max(n, 0)
			return v
		}
		s.Sender = chat.UserID(unsigned())               //nolint:gosec // checked below
		s.Conversation = chat.ConversationID(unsigned()) //nolint:gosec // checked below
		s.ReplyTo = signed()
		s.ReceivedAt = time.UnixMilli(signed()).UTC()
		if !ok || s.Sender <= 0 || s.Conversation <= 0 || len(b)-at < len(s.ClientID) {
			return nil, errMalformed
		}
		at += copy(s.ClientID[:], b[at:])
		size := unsigned()
		if !ok || size > uint64(len(b)-at) { //nolint:gosec // at is within b
			return nil, errMalformed
		}
		s.Body = text[at : at+int(size)] //nolint:gosec // size is within b
		at += int(size)                  //nolint:gosec // size is within b
		out = append(out, s)
	}
	return out, nil
}
