package redispubsub

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
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
// of what there was must not change.
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

// What was added to an item since follows it as an extension, which older readers
// take for a push to nobody.
func TestGoldenExtension(t *testing.T) {
	full := &pubsub.Envelope{Items: []pubsub.Item{
		{Membership: &pubsub.Membership{Conversation: 64, MembersRev: 10, MembersRevBefore: 8, Joined: []chat.UserID{7}, Left: []chat.UserID{5}}},
		{Presence: &pubsub.Presence{User: 6, State: "online"}},
	}}
	const golden = "03038001140" + "10a01000401100" + "10e050c066f6e6c696e6500"
	b := appendEnvelope(nil, full)
	if got := hex.EncodeToString(b); got != golden {
		t.Errorf("an envelope is\n%s, not\n%s", got, golden)
	}
	if e, err := readEnvelope(varint.NewReader(b)); err != nil || !cmp.Equal(e, full) {
		t.Errorf("%s, %v", cmp.Diff(full, e), err)
	}
	// As a reader of before extensions decodes it: item by item.
	r := varint.NewReader(b)
	if n := r.Count(); n != 3 || r.Byte() != itemMembership || r.Varint() != 64 || r.Varint() != 10 || len(readIDs[chat.UserID](r)) != 1 ||
		r.Byte() != itemPush || len(readIDs[chat.UserID](r)) != 0 || len(r.Bytes()) == 0 || r.Byte() != itemPresence || r.Failed() {
		t.Error("a reader of before extensions does not find the three items")
	}
	// Of an older or a later publisher.
	plain := &pubsub.Envelope{Items: []pubsub.Item{{Membership: &pubsub.Membership{Conversation: 64, MembersRev: 10}}}}
	for what, message := range map[string]string{
		"no extension":         "010380011400",
		"an unknown extension": "0203800114000100" + "0363ffff",
		"a malformed one":      "0203800114000100" + "020110",
		"one of another item":  "030100" + "0201100380011400" + "010001ff",
	} {
		b, err := hex.DecodeString(message)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := readEnvelope(varint.NewReader(b)); err != nil || !cmp.Equal(e, plain) {
			t.Errorf("%s: %s, %v", what, cmp.Diff(plain, e), err)
		}
	}
}

func BenchmarkReadEnvelope(b *testing.B) {
	message := appendHeader(nil, header{kind: kindData, publisher: 1, number: 300, count: 1})
	message = appendEnvelope(message, allItems)
	b.ReportAllocs()
	for b.Loop() {
		_, r, err := readHeader(message)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := readEnvelope(r); err != nil {
			b.Fatal(err)
		}
	}
}
