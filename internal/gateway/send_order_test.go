package gateway

import (
	"encoding/binary"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func clientIDOf(i int) (id chat.ClientID) {
	binary.BigEndian.PutUint32(id[:], uint32(i))
	return id
}

// Only what the client says about a refused send ends the wait for it.
func TestRefusedSendIsWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		say   func(o *sendOrder)
		waits bool
	}{
		"nothing":                  {func(*sendOrder) {}, true},
		"sent again":               {func(o *sendOrder) { o.remove(1, clientIDOf(1)) }, false},
		"withdrawn":                {func(o *sendOrder) { o.withdraw(clientIDOf(1)) }, false},
		"another is withdrawn":     {func(o *sendOrder) { o.withdraw(clientIDOf(2)) }, true},
		"sent again, refused":      {func(o *sendOrder) { o.remove(1, clientIDOf(1)); o.refuse(1, clientIDOf(1), 1) }, true},
		"withdrawn, sent, refused": {func(o *sendOrder) { o.withdraw(clientIDOf(1)); o.refuse(1, clientIDOf(1), 9) }, false},
	} {
		var o sendOrder
		o.refuse(1, clientIDOf(1), 1)
		tt.say(&o)
		first, waits := o.firstRefused(1, 5)
		if waits != tt.waits || o.mustWait(1, 5) != tt.waits || waits && first != clientIDOf(1) {
			t.Errorf("%s: waits: %v, for %v", name, waits, first)
		}
		if o.mustWait(2, 5) {
			t.Errorf("%s: another conversation waits", name)
		}
		if int(o.count) != len(o.refused[1]) {
			t.Errorf("%s: %d sends are counted, %d are kept", name, o.count, len(o.refused[1]))
		}
	}
}

// A message that was sent to two conversations is withdrawn from both.
func TestWithdrawFromEveryConversation(t *testing.T) {
	var o sendOrder
	o.refuse(1, clientIDOf(1), 1)
	o.refuse(2, clientIDOf(1), 2)
	if !o.withdraw(clientIDOf(1)) || o.withdraw(clientIDOf(1)) {
		t.Error("the message was not withdrawn, once")
	}
	if o.count != 0 || len(o.refused) != 0 {
		t.Errorf("%d refused sends are counted, of %d conversations", o.count, len(o.refused))
	}
}

// The number of refused sends that are kept is bounded.
func TestRefusedSendsAreBounded(t *testing.T) {
	var o sendOrder
	for i := range maxRefused {
		if !o.refuse(chat.ConversationID(i), clientIDOf(i), int64(i)) {
			t.Fatalf("no room for refusal %d", i)
		}
	}
	if !o.refuse(0, clientIDOf(0), 0) {
		t.Error("no room for a message that was refused before")
	}
	if !o.withdraw(clientIDOf(5)) || !o.refuse(5000, clientIDOf(5000), 5000) {
		t.Error("a message that was withdrawn leaves no room")
	}
	if o.refuse(6000, clientIDOf(6000), 6000) {
		t.Error("more refused sends are kept than maxRefused")
	}
	o.withdraw(clientIDOf(7))
	if !o.mustWait(7000, 7000) || o.refuse(7, clientIDOf(7), 7) {
		t.Error("something may be published on a connection that lost its order")
	}
}
