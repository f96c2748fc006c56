package wire

import "github.com/hikyaku-chat/hikyaku/internal/chat"

// The frames that a client sends. The type of each is the value of its "t".

// Send sends a message. It is answered with accepted or rejected, and the message
// comes back as a message frame when it is stored. Sending it again is harmless.
type Send struct {
	T            string              `json:"t" enum:"send"`
	ID           chat.ClientID       `json:"id" doc:"name of the message: a UUIDv7 made from the server's time (hello.time)"`
	Conversation chat.ConversationID `json:"conversation"`
	Body         string              `json:"body" doc:"Markdown, 1 to limits.body_bytes bytes, visible, without control characters besides tab and line breaks"`
	ReplyTo      int64               `json:"reply_to,omitempty" doc:"seq of the message that it answers"`
}

// Withdraw says that this client will not send a message again that was rejected
// with retry_after_ms, so that its later messages to the conversation no longer
// wait for that one. It is answered with withdrawn, also when nothing waited. It
// takes nothing back: a send of the message that is still on its way is answered
// as ever, and if that is another rejected with retry_after_ms, the client
// withdraws again. The end of the connection withdraws everything.
type Withdraw struct {
	T  string        `json:"t" enum:"withdraw"`
	ID chat.ClientID `json:"id" doc:"of the message"`
}

// Mark moves the user's marks in a conversation forward. It is not answered; mark
// frames have the result. The latest wins.
type Mark struct {
	T            string              `json:"t" enum:"mark"`
	Conversation chat.ConversationID `json:"conversation"`
	Read         int64               `json:"read,omitempty" doc:"seq up to which the person has read"`
	Received     int64               `json:"received,omitempty" doc:"seq up to which this device has received; only worth sending in direct conversations"`
}

// Typing says that the user is writing. Clients repeat it every 3 s meanwhile;
// receivers drop it after 6 s.
type Typing struct {
	T            string              `json:"t" enum:"typing"`
	Conversation chat.ConversationID `json:"conversation"`
}

// Watch replaces the list of users whose presence the device watches. It is
// answered with their states, and changes follow. Users with whom the user shares
// no conversation are ignored.
type Watch struct {
	T     string        `json:"t" enum:"watch"`
	Users []chat.UserID `json:"users" maxItems:"500"`
}

// Status says whether the user is active on the device.
type Status struct {
	T    string `json:"t" enum:"status"`
	Away bool   `json:"away"`
}

// Sync asks what changed. Without conversation it lists the user's
// conversations that changed after cursor and is answered with synced; with
// one it pages through the messages that changed after rev and is answered
// with changes. A page of about 256 KiB is full, however many entries are wanted;
// an answer waits until the client has read most of what was sent before it.
type Sync struct {
	T            string              `json:"t" enum:"sync"`
	ID           string              `json:"id" maxLength:"64" doc:"repeated in the answer"`
	Cursor       string              `json:"cursor,omitempty" doc:"from the last synced frame; empty to begin. One that the server does not know (any more) is answered with error invalid: begin with an empty one"`
	Conversation chat.ConversationID `json:"conversation,omitempty"`
	Rev          int64               `json:"rev,omitempty" doc:"the last change of the conversation that the device has seen"`
	Limit        int                 `json:"limit,omitempty" doc:"most entries wanted, 1 to 200 (default 100)"`
}

// Ping is the heartbeat. Its pong says when the next one is due; after sending
// something a client pings within limits.heartbeat_ms.
type Ping struct {
	T      string `json:"t" enum:"ping"`
	Cursor string `json:"cursor,omitempty" doc:"from the last synced frame, once everything up to it is there: the server sends resync when something changed since"`
}

// Inbound is a frame from a client: one of the types above, by pointer.
type Inbound interface{ inbound() }

func (*Send) inbound()     {}
func (*Withdraw) inbound() {}
func (*Mark) inbound()     {}
func (*Typing) inbound()   {}
func (*Watch) inbound()    {}
func (*Status) inbound()   {}
func (*Sync) inbound()     {}
func (*Ping) inbound()     {}
