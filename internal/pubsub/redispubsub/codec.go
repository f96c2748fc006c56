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

// sectionAudiences has, for each push of the message in their order, its
// conversation and MembersRev. Those of the pushes at the end are left out when
// they are 0.
const sectionAudiences = 1

// appendAudiences appends what sectionAudiences has of an envelope's pushes, and
// reports whether any of it is not 0.
func appendAudiences(b []byte, e *pubsub.Envelope) (_ []byte, named bool) {
	for i := range e.Items {
		if p := e.Items[i].Push; p != nil {
			b = binary.AppendVarint(b, int64(p.Conversation))
			b = binary.AppendVarint(b, p.MembersRev)
			named = named || p.Conversation != 0
		}
	}
	return b, named
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
		if r.Failed() || kind == sectionAudiences && !readAudiences(varint.NewReader(section), all) {
			return nil, errMalformed
		}
	}
	return all, nil
}

// readAudiences reads the section of that name, and reports whether it could.
func readAudiences(r *varint.Reader, all []*pubsub.Envelope) bool {
	for _, e := range all {
		for i := range e.Items {
			if r.Len() == 0 {
				return true
			}
			if p := e.Items[i].Push; p != nil {
				p.Conversation, p.MembersRev = chat.ConversationID(r.Varint()), r.Varint()
				if r.Failed() {
					return false
				}
			}
		}
	}
	return r.Len() == 0
}

// Processes of two versions run side by side while a cluster is upgraded, and a
// reader that does not know a kind of item can decode nothing after it, so that all
// its clients have to sync. So an item keeps its fields for ever, and what is added
// to it follows as an extension: a push to nobody, whose frame is the kind of the
// extension and its fields. Readers of before extensions deliver that to nobody;
// readers since apply those that they know to the item before, and ignore the rest.
const (
	// extMembers completes a Membership: MembersRevBefore and Joined.
	extMembers = 1
)

// extended reports whether an extension follows the item.
func extended(i *pubsub.Item) bool { return i.Membership != nil && i.Membership.MembersRevBefore != 0 }

// appendExtension appends the extension of an item.
func appendExtension(b []byte, i *pubsub.Item) []byte {
	frame := binary.AppendVarint([]byte{extMembers}, i.Membership.MembersRevBefore)
	frame = appendIDs(frame, i.Membership.Joined)
	return varint.AppendBytes(append(b, itemPush, 0), frame)
}

// extend applies an extension to the item before it. One that is unknown, of
// another item or malformed changes nothing.
func extend(items []pubsub.Item, frame []byte) {
	if len(items) == 0 {
		return
	}
	last := &items[len(items)-1]
	r := varint.NewReader(frame)
	if r.Byte() != extMembers || last.Membership == nil {
		return
	}
	before, joined := r.Varint(), readIDs[chat.UserID](r)
	if !r.Failed() {
		last.Membership.MembersRevBefore, last.Membership.Joined = before, joined
	}
}

func appendEnvelope(b []byte, e *pubsub.Envelope) []byte {
	n := len(e.Items)
	for i := range e.Items {
		if extended(&e.Items[i]) {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // not negative
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
		if extended(&e.Items[i]) {
			b = appendExtension(b, &e.Items[i])
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
		if item.Push != nil && len(item.Push.Users) == 0 {
			extend(e.Items, item.Push.Frame)
			continue
		}
		e.Items = append(e.Items, item)
	}
	return e, nil
}
