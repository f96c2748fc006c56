package redispubsub

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

var allItems = &pubsub.Envelope{Items: []pubsub.Item{
	{Push: &pubsub.Push{Users: []chat.UserID{1, 300}, Frame: []byte("frame")}},
	{Room: &pubsub.Room{Conversation: 1 << 50, MembersRev: 9, Frame: []byte("room")}},
	{Membership: &pubsub.Membership{Conversation: 64, MembersRev: 10, Left: []chat.UserID{5}}},
	{Revoked: &pubsub.Revoked{User: 2, Sessions: []chat.SessionID{3, 4}}},
	{Presence: &pubsub.Presence{User: 6, State: "online"}},
	{Presence: &pubsub.Presence{User: 6, State: "offline", LastSeen: time.UnixMilli(1_764_475_200_123).UTC()}},
}}

// Processes of two versions communicate while a cluster is upgraded: the encoding
// must not change.
func TestGoldenEncoding(t *testing.T) {
	b := appendHeader(nil, header{kind: kindData, publisher: 0x0102030405060708, number: 300, count: 1})
	b = appendEnvelope(b, allItems)
	const golden = "010102030405060708ac020106010202d804056672616d650280808080808080041204726f6f6d03800114010a0404020608050c066f6e6c696e6500050c076f66666c696e65f689d7aeda66"
	if got := hex.EncodeToString(b); got != golden {
		t.Errorf("a message is\n%s, not\n%s", got, golden)
	}
	h, r, err := readHeader(b)
	if err != nil || h.kind != kindData || h.publisher != 0x0102030405060708 || h.number != 300 || h.count != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	if e, err := readEnvelope(r); err != nil || !cmp.Equal(e, allItems) {
		t.Errorf("%s, %v", cmp.Diff(allItems, e), err)
	}
}

// newer have what an older process does not know of.
var newer = []*pubsub.Envelope{
	{Items: []pubsub.Item{
		{Membership: &pubsub.Membership{Conversation: 64, MembersRev: 10, MembersRevBefore: 8, Joined: []chat.UserID{7}, Left: []chat.UserID{5}}},
		{Push: &pubsub.Push{Users: []chat.UserID{5}, Frame: []byte("a")}},
		{Push: &pubsub.Push{Users: []chat.UserID{6}, Conversation: 64, MembersRev: 10, Frame: []byte("b")}},
	}},
	{Items: []pubsub.Item{
		{Push: &pubsub.Push{Users: []chat.UserID{7}, Conversation: 1 << 50, MembersRev: 1, Frame: []byte("c")}},
		{Membership: &pubsub.Membership{Conversation: 65, MembersRev: 3, MembersRevBefore: 2}},
	}},
}

// encode returns the message in which the outbox sends envelopes.
func encode(t testing.TB, envelopes ...*pubsub.Envelope) []byte {
	t.Helper()
	o := newOutbox(0x0102030405060708)
	for _, e := range envelopes {
		if err := o.enqueue("a", e); err != nil {
			t.Fatal(err)
		}
	}
	all := o.flush()
	if len(all) != 1 {
		t.Fatalf("%d messages", len(all))
	}
	return all[0].bytes
}

// What was added to the encoding is behind what older processes read, and they
// ignore it. Sections that are not known are skipped.
func TestSections(t *testing.T) {
	old := appendHeader(nil, header{kind: kindReset, publisher: 0x0102030405060708, number: 1, count: 2})
	for _, e := range newer {
		old = appendEnvelope(old, e)
	}
	const audiences, joins = "0000" + "800114" + "808080808080800402", "10010e" + "0400"
	const golden = "01" + "0e" + audiences + "02" + "05" + joins
	message := encode(t, newer...)
	if got := hex.EncodeToString(message); got != hex.EncodeToString(old)+golden {
		t.Errorf("a message is\n%s, not\n%s", got, hex.EncodeToString(old)+golden)
	}
	if plain := encode(t, allItems); !bytes.HasSuffix(plain, appendEnvelope(nil, allItems)) {
		t.Errorf("a message with nothing to add has a section: %x", plain)
	}
	section := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return append(slices.Clip(old), b...)
	}
	read := func(b []byte) ([]*pubsub.Envelope, error) {
		h, r, err := readHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		return readEnvelopes(r, h.count)
	}
	for what, b := range map[string][]byte{
		"as it is":            message,
		"of a newer version":  append(slices.Clip(message), 0x7f, 2, 'x', 'y'),
		"a newer one's first": append(append(slices.Clip(old), 0x7f, 1, 'x'), message[len(old):]...),
	} {
		if got, err := read(b); err != nil || !cmp.Equal(got, newer) {
			t.Errorf("%s: %s, %v", what, cmp.Diff(newer, got), err)
		}
	}
	got, err := read(old)
	if err != nil || len(got) != 2 || got[1].Items[0].Push.Conversation != 0 || got[0].Items[0].Membership.Joined != nil {
		t.Errorf("of an older version: %v, %v", got, err)
	}
	for what, b := range map[string][]byte{
		"cut":       message[:len(message)-1],
		"too long":  section("01" + "0f" + audiences + "00"),
		"too short": section("02" + "03" + joins[:6]),
	} {
		if got, err := read(b); err == nil || got != nil {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func BenchmarkReadEnvelope(b *testing.B) {
	for name, message := range map[string][]byte{"plain": encode(b, allItems), "conversations": encode(b, newer...)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h, r, err := readHeader(message)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := readEnvelopes(r, h.count); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
