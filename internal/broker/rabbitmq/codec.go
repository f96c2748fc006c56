package rabbitmq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

// A batch is a version byte and then the submissions. A submission is: sender,
// conversation, reply and time as varints, the client id as 16 bytes, the length
// of the text and the text. Batches outlive the program that wrote them, so
// every later version must decode them.
const batchVersion = 1

func beginBatch(b []byte) []byte { return append(b, batchVersion) }

func appendSubmission(b []byte, s *chat.Submission) []byte {
	b = binary.AppendUvarint(b, uint64(s.Sender))       //nolint:gosec // ids are positive
	b = binary.AppendUvarint(b, uint64(s.Conversation)) //nolint:gosec // ids are positive
	b = binary.AppendVarint(b, s.ReplyTo)
	b = binary.AppendVarint(b, s.ReceivedAt.UnixMilli())
	b = append(b, s.ClientID[:]...)
	return varint.AppendBytes(b, s.Body)
}

var errMalformed = errors.New("the batch is malformed")

// decodeBatch decodes a batch. The texts are copies and do not refer to b. It
// fails with [errMalformed].
func decodeBatch(b []byte) ([]chat.Submission, error) {
	if len(b) == 0 || b[0] != batchVersion {
		return nil, fmt.Errorf("%w: its version is not %d", errMalformed, batchVersion)
	}
	text := string(b) // one copy for all texts
	r := varint.NewReader(b[1:])
	var out []chat.Submission
	for r.Len() > 0 {
		s := chat.Submission{
			Sender: chat.UserID(r.Positive()), Conversation: chat.ConversationID(r.Positive()),
			ReplyTo: r.Varint(), ReceivedAt: time.UnixMilli(r.Varint()).UTC(),
		}
		r.Fixed(s.ClientID[:])
		size := len(r.Bytes())
		if r.Failed() {
			return nil, errMalformed
		}
		end := len(text) - r.Len()
		s.Body = text[end-size : end]
		out = append(out, s)
	}
	return out, nil
}
