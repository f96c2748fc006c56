package redis

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bus"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// A message on a channel is its kind, the publisher's id, a number, and then
// either envelopes (data) or the numbers last used on channels (heartbeat).
// Lists and bytes are behind their lengths; numbers are varints.
const (
	kindData      = 1
	kindHeartbeat = 2
	// kindAnew is data after a silence, or the first on its channel: who does
	// not know the numbers before it has missed nothing.
	kindAnew = 3
)

// header begins every message.
type header struct {
	kind      byte
	publisher uint64
	number    uint64 // of this message on its channel; 0 for a heartbeat
	count     uint64 // envelopes, or channels
}

func appendHeader(b []byte, h header) []byte {
	b = append(b, h.kind)
	b = binary.BigEndian.AppendUint64(b, h.publisher)
	b = binary.AppendUvarint(b, h.number)
	return binary.AppendUvarint(b, h.count)
}

// Kinds of items.
const (
	itemPush = iota + 1
	itemRoom
	itemMembership
	itemRevoked
	itemPresence
)

func appendEnvelope(b []byte, e *bus.Envelope) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.Items)))
	for i := range e.Items {
		switch item := &e.Items[i]; {
		case item.Push != nil:
			b = append(b, itemPush)
			b = appendIDs(b, item.Push.Users)
			b = appendBytes(b, item.Push.Frame)
		case item.Room != nil:
			b = append(b, itemRoom)
			b = binary.AppendVarint(b, int64(item.Room.Conversation))
			b = binary.AppendVarint(b, item.Room.MembersRev)
			b = appendBytes(b, item.Room.Frame)
		case item.Membership != nil:
			b = append(b, itemMembership)
			b = binary.AppendVarint(b, int64(item.Membership.Conversation))
			b = binary.AppendVarint(b, item.Membership.MembersRev)
			b = appendIDs(b, item.Membership.Left)
		case item.Revoked != nil:
			b = append(b, itemRevoked)
			b = binary.AppendVarint(b, int64(item.Revoked.User))
			b = appendIDs(b, item.Revoked.Sessions)
		case item.Presence != nil:
			b = append(b, itemPresence)
			b = binary.AppendVarint(b, int64(item.Presence.User))
			b = appendBytes(b, []byte(item.Presence.State))
			at := int64(0)
			if !item.Presence.LastSeen.IsZero() {
				at = item.Presence.LastSeen.UnixMilli()
			}
			b = binary.AppendVarint(b, at)
		default:
			b = append(b, 0)
		}
	}
	return b
}

func appendBytes(b, p []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

func appendIDs[T ~int64](b []byte, ids []T) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.AppendVarint(b, int64(id))
	}
	return b
}

var errMalformed = errors.New("a message on the bus is malformed")

// reader takes a message apart. After an error everything reads as zero.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) fail() { r.b, r.failed = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length reads how many things follow, each of at least one byte.
func (r *reader) length() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n) //nolint:gosec // not above the length
}

func (r *reader) bytes() []byte {
	n := r.length()
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func readIDs[T ~int64](r *reader) []T {
	n := r.length()
	if n == 0 {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = T(r.varint())
	}
	return out
}

func readHeader(b []byte) (header, *reader, error) {
	r := &reader{b: b}
	h := header{kind: r.byte(), publisher: r.uint64(), number: r.uvarint(), count: r.uvarint()}
	if r.failed || h.kind < kindData || h.kind > kindAnew {
		return h, r, errMalformed
	}
	return h, r, nil
}

// readEnvelope reads one envelope, whose frames share the bytes of the message.
func readEnvelope(r *reader) (*bus.Envelope, error) {
	e := &bus.Envelope{Items: make([]bus.Item, r.length())}
	for i := range e.Items {
		item := &e.Items[i]
		switch r.byte() {
		case itemPush:
			item.Push = &bus.Push{Users: readIDs[chat.UserID](r), Frame: r.bytes()}
		case itemRoom:
			item.Room = &bus.Room{Conversation: chat.ConversationID(r.varint()), MembersRev: r.varint(), Frame: r.bytes()}
		case itemMembership:
			item.Membership = &bus.Membership{Conversation: chat.ConversationID(r.varint()), MembersRev: r.varint(), Left: readIDs[chat.UserID](r)}
		case itemRevoked:
			item.Revoked = &bus.Revoked{User: chat.UserID(r.varint()), Sessions: readIDs[chat.SessionID](r)}
		case itemPresence:
			p := &bus.Presence{User: chat.UserID(r.varint()), State: chat.Presence(r.bytes())}
			if at := r.varint(); at != 0 {
				p.LastSeen = time.UnixMilli(at).UTC()
			}
			item.Presence = p
		default:
			// Of a newer version: what follows cannot be read.
			r.fail()
		}
		if r.failed {
			return nil, errMalformed
		}
	}
	return e, nil
}
