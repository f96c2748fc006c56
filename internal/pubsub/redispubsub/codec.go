package redispubsub

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

// A message on a channel is its kind, the publisher's id, a number, and then
// either envelopes (data) or the last numbers of channels (heartbeat). Lists and
// bytes are preceded by their lengths; numbers are varints.
//
// Envelopes may be followed by sections, each a number that says what it is, and
// its bytes. A process skips those that it does not know, and the first versions
// read no further than the envelopes: what was added later is in sections.
const (
	kindData      = 1
	kindHeartbeat = 2
	// kindReset is the first data message on its channel, or the first after a
	// silence: a node that does not know the numbers before it has missed nothing.
	kindReset = 3
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

// The sections of a message. Each has something of every item of one kind, in their
// order, and is left out when there is nothing to say.
const (
	// sectionAudiences has the conversation and MembersRev of each push.
	sectionAudiences = iota + 1
	// sectionJoins has MembersRevBefore and Joined of each membership.
	sectionJoins
	sectionsEnd
)

// sections are those of a message that is being made, by number.
type sections [sectionsEnd]struct {
	bytes []byte
	used  bool // there is something to say
}

// add adds what the sections have of an envelope's items.
func (s *sections) add(e *pubsub.Envelope) {
	audiences, joins := &s[sectionAudiences], &s[sectionJoins]
	for i := range e.Items {
		if p := e.Items[i].Push; p != nil {
			audiences.bytes = binary.AppendVarint(audiences.bytes, int64(p.Conversation))
			audiences.bytes = binary.AppendVarint(audiences.bytes, p.MembersRev)
			audiences.used = audiences.used || p.Conversation != 0
		}
		if m := e.Items[i].Membership; m != nil {
			joins.bytes = binary.AppendVarint(joins.bytes, m.MembersRevBefore)
			joins.bytes = appendIDs(joins.bytes, m.Joined)
			joins.used = joins.used || m.MembersRevBefore != 0
		}
	}
}

// size returns how many bytes they have.
func (s *sections) size() (n int) {
	for i := range s {
		n += len(s[i].bytes)
	}
	return n
}

// appendTo appends those that say something.
func (s *sections) appendTo(b []byte) []byte {
	for i := range s {
		if s[i].used {
			b = binary.AppendUvarint(b, uint64(i)) //nolint:gosec // not negative
			b = varint.AppendBytes(b, s[i].bytes)
		}
	}
	return b
}

// emptied returns no sections, in the memory of these.
func (s *sections) emptied() (out sections) {
	for i := range s {
		out[i].bytes = s[i].bytes[:0]
	}
	return out
}

// readEnvelopes reads the envelopes of a message, with what its sections say of
// them. After an error it returns those that were read whole, unless a section is
// at fault: without it, too little is known of them.
func readEnvelopes(r *varint.Reader, count uint64) (all []*pubsub.Envelope, err error) {
	for range count {
		e, err := readEnvelope(r)
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	for r.Len() > 0 {
		kind, section := r.Uvarint(), r.Bytes()
		if r.Failed() || !readSection(kind, varint.NewReader(section), all) {
			return nil, errMalformed
		}
	}
	return all, nil
}

// readSection reads a section, and reports whether it could. One that is not known
// is of a newer version.
func readSection(kind uint64, r *varint.Reader, all []*pubsub.Envelope) bool {
	if kind != sectionAudiences && kind != sectionJoins {
		return true
	}
	for _, e := range all {
		for i := range e.Items {
			if p := e.Items[i].Push; p != nil && kind == sectionAudiences {
				p.Conversation, p.MembersRev = chat.ConversationID(r.Varint()), r.Varint()
			}
			if m := e.Items[i].Membership; m != nil && kind == sectionJoins {
				m.MembersRevBefore, m.Joined = r.Varint(), readIDs[chat.UserID](r)
			}
		}
	}
	return !r.Failed() && r.Len() == 0
}

func appendEnvelope(b []byte, e *pubsub.Envelope) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.Items)))
	for i := range e.Items {
		switch item := &e.Items[i]; {
		case item.Push != nil:
			b = append(b, itemPush)
			b = appendIDs(b, item.Push.Users)
			b = varint.AppendBytes(b, item.Push.Frame)
		case item.Room != nil:
			b = append(b, itemRoom)
			b = binary.AppendVarint(b, int64(item.Room.Conversation))
			b = binary.AppendVarint(b, item.Room.MembersRev)
			b = varint.AppendBytes(b, item.Room.Frame)
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
			b = varint.AppendBytes(b, item.Presence.State)
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

// itemSize returns how many bytes an item has, encoded, at most.
func itemSize(i *pubsub.Item) int {
	const number = binary.MaxVarintLen64
	switch {
	case i.Push != nil:
		return 1 + number*(4+len(i.Push.Users)) + len(i.Push.Frame)
	case i.Room != nil:
		return 1 + number*3 + len(i.Room.Frame)
	case i.Membership != nil:
		return 4 + number*(6+len(i.Membership.Left)+len(i.Membership.Joined))
	case i.Revoked != nil:
		return 1 + number*(2+len(i.Revoked.Sessions))
	case i.Presence != nil:
		return 1 + number*3 + len(i.Presence.State)
	}
	return 1
}

func appendIDs[T ~int64](b []byte, ids []T) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.AppendVarint(b, int64(id))
	}
	return b
}

var errMalformed = errors.New("malformed bus message")

func readIDs[T ~int64](r *varint.Reader) []T {
	n := r.Count()
	if n == 0 {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = T(r.Varint())
	}
	return out
}

func readHeader(b []byte) (header, *varint.Reader, error) {
	r := varint.NewReader(b)
	h := header{kind: r.Byte(), publisher: r.Uint64(), number: r.Uvarint(), count: r.Uvarint()}
	if r.Failed() || h.kind < kindData || h.kind > kindReset {
		return h, r, errMalformed
	}
	return h, r, nil
}

// readEnvelope reads one envelope, whose frames share the bytes of the message.
func readEnvelope(r *varint.Reader) (*pubsub.Envelope, error) {
	n := r.Count()
	e := &pubsub.Envelope{Items: make([]pubsub.Item, 0, n)}
	for range n {
		var item pubsub.Item
		switch r.Byte() {
		case itemPush:
			item.Push = &pubsub.Push{Users: readIDs[chat.UserID](r), Frame: r.Bytes()}
		case itemRoom:
			item.Room = &pubsub.Room{Conversation: chat.ConversationID(r.Varint()), MembersRev: r.Varint(), Frame: r.Bytes()}
		case itemMembership:
			item.Membership = &pubsub.Membership{Conversation: chat.ConversationID(r.Varint()), MembersRev: r.Varint(), Left: readIDs[chat.UserID](r)}
		case itemRevoked:
			item.Revoked = &pubsub.Revoked{User: chat.UserID(r.Varint()), Sessions: readIDs[chat.SessionID](r)}
		case itemPresence:
			p := &pubsub.Presence{User: chat.UserID(r.Varint()), State: chat.Presence(r.Bytes())}
			if at := r.Varint(); at != 0 {
				p.LastSeen = time.UnixMilli(at).UTC()
			}
			item.Presence = p
		default:
			// Of a newer version: the rest cannot be decoded.
			r.Fail()
		}
		if r.Failed() {
			return nil, errMalformed
		}
		e.Items = append(e.Items, item)
	}
	return e, nil
}
