package sqlite

import "github.com/hikyaku-chat/hikyaku/internal/chat"

const (
	seqBits = 32
	maxSeq  = 1<<seqBits - 1
)

// messageKey returns the key of a message, which is in column place:
// slot << 32 | seq.
func messageKey(slot, seq int64) int64 { return slot<<seqBits | seq }

func seqOf(key int64) int64 { return key & maxSeq }

// clampSeq limits a seq from a caller to the range that a key can hold.
func clampSeq(seq int64) int64 { return min(max(seq, 0), maxSeq) }

// messageColumns are the columns that scanMessage reads; g is the message and c
// its conversation.
const messageColumns = `g.place, c.id, g.id, g.sender, g.client_id, g.rev, g.changed_rev,
	g.reply_to, g.at, g.edited_at, g.deleted_at, g.body, g.text_check`

func scanMessage(r row) chat.Message {
	m := chat.Message{
		Seq:          seqOf(r.int(0)),
		Conversation: chat.ConversationID(r.int(1)),
		ID:           chat.MessageID(r.int(2)),
		Sender:       r.user(3),
		Rev:          r.int(5),
		ReplyTo:      r.int(7),
		At:           r.time(8),
		EditedAt:     r.time(9),
		DeletedAt:    r.time(10),
		Body:         r.text(11),
		TextCheck:    r.int(12),
	}
	copy(m.ClientID[:], r.blob(4))
	if !r.null(6) {
		m.Rev = r.int(6)
	}
	return m
}
