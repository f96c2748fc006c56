package wire

import "github.com/hikyaku-chat/hikyaku/internal/chat"

// The frames that a server sends. The type of each is the value of its "t".

// Limits are the limits of a connection.
type Limits struct {
	FrameBytes  int     `json:"frame_bytes" doc:"largest frame from a client"`
	BodyBytes   int     `json:"body_bytes" doc:"largest text of a message"`
	InFlight    int     `json:"in_flight" doc:"most sends without an answer"`
	PerSecond   float64 `json:"per_second" doc:"messages per second of one user, in the long run"`
	Burst       int     `json:"burst" doc:"messages of one user at once"`
	HeartbeatMS int64   `json:"heartbeat_ms" doc:"time until the first ping, and until the next one after the client sent something"`
	IdleMS      int64   `json:"idle_ms" doc:"a connection without any frame from the client for so long is closed"`
	WatchUsers  int     `json:"watch_users" doc:"most people watched for presence"`
}

// Hello is the first frame of every connection.
type Hello struct {
	T       string         `json:"t" enum:"hello"`
	User    User           `json:"user"`
	Session chat.SessionID `json:"session"`
	Server  string         `json:"server" doc:"version of the server"`
	Time    Millis         `json:"time" doc:"the server's clock; make the ids of messages from it"`
	Epoch   string         `json:"epoch" doc:"opaque; when it is another one than that of the last connection, history has gone back: drop cursors, conversations and messages, keep what is unsent, and begin anew"`
	Limits  Limits         `json:"limits"`
}

// Accepted says that a message was accepted and will be stored (G1).
type Accepted struct {
	T  string        `json:"t" enum:"accepted"`
	ID chat.ClientID `json:"id"`
}

// Rejected says that a message was not accepted. Without retry_after_ms that is
// final: to try again, a client sends the message under a new id. With it the
// client either sends the same again, after that time, or says withdraw. Until it
// has done so, its later messages to the same conversation on this connection are
// rejected, so that their order is kept (code order); no time ends that.
type Rejected struct {
	T            string        `json:"t" enum:"rejected"`
	ID           chat.ClientID `json:"id"`
	Code         string        `json:"code" enum:"invalid,too_large,not_found,forbidden,conflict,rate_limited,overloaded,unavailable,in_flight,order"`
	Text         string        `json:"text" doc:"one sentence for people"`
	RetryAfterMS int64         `json:"retry_after_ms,omitempty"`
	WaitsFor     chat.ClientID `json:"waits_for,omitzero" doc:"the first message to the conversation that was rejected before this one, and must be sent again or withdrawn before it"`
}

// Withdrawn is the answer to withdraw: no message on this connection waits for
// that one any more. It says nothing about what became of it: a message that was
// accepted is stored, and one that was rejected without its outcome being known
// (code unavailable) may be.
type Withdrawn struct {
	T  string        `json:"t" enum:"withdrawn"`
	ID chat.ClientID `json:"id" doc:"of the message"`
}

// Failed says that an accepted message could not be stored, for example because
// its author was removed meanwhile. That is final: the same message fails whenever
// it is sent again under this id. It is kept as a dead letter for the operator.
type Failed struct {
	T string `json:"t" enum:"failed"`
	Failure
}

// Failure is the final refusal of a message that was accepted. Its digest says
// which message it is, should a device have sent two under one id: a failure with
// another digest than that of the client's message is not about that message.
type Failure struct {
	ID     chat.ClientID `json:"id"`
	Code   string        `json:"code"`
	Text   string        `json:"text" doc:"one sentence for people"`
	Digest chat.Digest   `json:"digest" doc:"what was sent: the first 16 bytes, in hexadecimal digits, of the SHA-256 of the conversation's id, a line feed, reply_to (0 for none), a line feed, and the body"`
}

// FailureOf returns the failure of a message as clients see it.
func FailureOf(f *chat.Failure) Failure {
	return Failure{ID: f.ClientID, Code: string(f.Code), Text: f.Refusal().Error(), Digest: f.Digest}
}

// MessageFrame is a message that was stored ("message") or changed
// ("edited", "deleted").
type MessageFrame struct {
	T string `json:"t" enum:"message,edited,deleted"`
	Message
}

// MarkFrame has the new marks of a member. A user's own marks are sent to all of
// the user's devices; those of others only in small conversations. Marks have no
// rev: a device that lost such a frame finds the conversation in its next sync,
// with read, peer_read, peer_received and others_read.
type MarkFrame struct {
	T            string              `json:"t" enum:"mark"`
	Conversation chat.ConversationID `json:"conversation"`
	User         chat.UserID         `json:"user"`
	Read         int64               `json:"read"`
	Received     int64               `json:"received"`
}

// TypingFrame says that someone else is writing.
type TypingFrame struct {
	T            string              `json:"t" enum:"typing"`
	Conversation chat.ConversationID `json:"conversation"`
	User         chat.UserID         `json:"user"`
}

// PresenceFrame has the states of watched users.
type PresenceFrame struct {
	T      string          `json:"t" enum:"presence"`
	States []PresenceState `json:"states" nullable:"false"`
}

// ConversationFrame says that a conversation was created or renamed, or that its
// members changed. It has a rev, like a message.
type ConversationFrame struct {
	T            string       `json:"t" enum:"conversation"`
	Conversation Conversation `json:"conversation"`
	By           chat.UserID  `json:"by" doc:"who did it"`
	Joined       []User       `json:"joined,omitempty" doc:"who is in it from now on; one who finds themselves here asks for the conversation's summary"`
	Left         []User       `json:"left,omitempty" doc:"who is out of it"`
}

// Removed says that the user is no longer in a conversation. It is the last frame
// about the conversation.
type Removed struct {
	T            string              `json:"t" enum:"removed"`
	Conversation chat.ConversationID `json:"conversation"`
	Rev          int64               `json:"rev" doc:"of the removal; a device that knows of a later change is in the conversation again"`
}

// Resync says that frames to this connection may have been lost, so the client
// must sync.
type Resync struct {
	T    string `json:"t" enum:"resync"`
	Lost bool   `json:"lost,omitempty" doc:"pushes do not arrive at present: what the device lacks is not on its way"`
}

// Synced is the answer to sync without conversation.
type Synced struct {
	T             string                `json:"t" enum:"synced"`
	ID            string                `json:"id"`
	Conversations []Summary             `json:"conversations" nullable:"false" doc:"those that changed, also by marks alone, oldest change first; without a cursor all, in any order"`
	Gone          []chat.ConversationID `json:"gone" nullable:"false" doc:"those that the user is no longer in"`
	Failed        []Failure             `json:"failed" nullable:"false" doc:"messages of the user that failed after they were accepted, oldest first; one may be listed more than once"`
	Cursor        string                `json:"cursor" doc:"for the next sync"`
	More          bool                  `json:"more" doc:"ask again at once, with the cursor"`
}

// Changes is the answer to sync with conversation: the messages that changed
// after the given rev, in their current form, oldest change first.
type Changes struct {
	T            string              `json:"t" enum:"changes"`
	ID           string              `json:"id"`
	Conversation chat.ConversationID `json:"conversation"`
	Messages     []Message           `json:"messages" nullable:"false"`
	Rev          int64               `json:"rev" doc:"everything up to this change has been seen once this frame is applied; without more, the last change of the conversation"`
	More         bool                `json:"more"`
}

// Pong is the answer to ping, given at once.
type Pong struct {
	T      string `json:"t" enum:"pong"`
	NextMS int64  `json:"next_ms" doc:"when the next ping is due, unless the client sends something before"`
}

// Goodbye says that this server will stop soon, or that another epoch has begun.
// The client reconnects after the given time, which is different for each client.
type Goodbye struct {
	T                string `json:"t" enum:"goodbye"`
	ReconnectAfterMS int64  `json:"reconnect_after_ms"`
}

// ErrorFrame is the answer to a frame that could not be decoded or handled; the
// connection stays open.
type ErrorFrame struct {
	T            string `json:"t" enum:"error"`
	ID           string `json:"id,omitempty" doc:"id of the frame at fault, where it had one"`
	Code         string `json:"code" enum:"malformed,invalid,too_large,not_found,forbidden,rate_limited,unavailable"`
	Text         string `json:"text"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty" doc:"the same frame may be sent again after that time"`
}
