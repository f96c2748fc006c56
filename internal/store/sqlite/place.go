package sqlite

import "github.com/hikyaku-chat/hikyaku/internal/chat"

const (
	seqBits = 32
	maxSeq  = 1<<seqBits - 1
)

// place is the key of a message: slot << 32 | seq.
func place(slot, seq int64) int64 { return slot<<seqBits | seq }

func seqOf(place int64) int64 { return place & maxSeq }

// clampSeq brings a seq that a caller gave into the range that a place holds.
func clampSeq(seq int64) int64 { return min(max(seq, 0), maxSeq) }

// messageColumns are those that scanMessage reads: of a message g and its
// conversation c.
const messageColumns = `g.place, c.id, g.id, g.sender, g.client_id, g.rev, g.changed_rev,
	g.reply_to, g.at, g.edited_at, g.deleted_at, g.body`

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
	}
	copy(m.ClientID[:], r.blob(4))
	if !r.null(6) {
		m.Rev = r.int(6)
	}
	return m
}
