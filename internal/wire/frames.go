package wire

// FrameType is an entry in the list of all frames, from which the AsyncAPI
// document is generated.
type FrameType struct {
	Names      []string // values of "t"
	FromClient bool
	Value      any // a zero value of the Go type
	Summary    string
}

// FrameTypes are all frames of hikyaku.v1.
var FrameTypes = []FrameType{
	{[]string{"send"}, true, Send{}, "Asks to keep a message. Answered with accepted or rejected; the message comes back as a message frame. Sending the same again is harmless."},
	{[]string{"withdraw"}, true, Withdraw{}, "Says that a message that was rejected for now will not be sent again. Answered with withdrawn."},
	{[]string{"mark"}, true, Mark{}, "Moves the user's marks in a conversation forward. Not answered; the latest wins."},
	{[]string{"typing"}, true, Typing{}, "Says that the person is writing. Repeat every 3 s while it lasts."},
	{[]string{"watch"}, true, Watch{}, "Replaces the list of people whose presence the device wants to know of."},
	{[]string{"status"}, true, Status{}, "Says whether the person is at the device."},
	{[]string{"sync"}, true, Sync{}, "Asks what changed: conversations after a cursor, or messages of one conversation after a rev."},
	{[]string{"ping"}, true, Ping{}, "The heartbeat. With a cursor it asks whether something changed since; then resync follows."},
	{[]string{"hello"}, false, Hello{}, "The first frame of every connection."},
	{[]string{"accepted"}, false, Accepted{}, "A message is kept and will be stored."},
	{[]string{"rejected"}, false, Rejected{}, "A message is not kept; with retry_after_ms it is to be sent again or withdrawn."},
	{[]string{"withdrawn"}, false, Withdrawn{}, "Answers withdraw: nothing waits for the message any more."},
	{[]string{"failed"}, false, Failed{}, "A message that was accepted could not be stored after all."},
	{[]string{"message", "edited", "deleted"}, false, MessageFrame{}, "A message that was stored, edited or deleted."},
	{[]string{"mark"}, false, MarkFrame{}, "Where a member's marks are now."},
	{[]string{"typing"}, false, TypingFrame{}, "Someone else is writing; forget it after 6 s."},
	{[]string{"presence"}, false, PresenceFrame{}, "The states of people who are watched."},
	{[]string{"conversation"}, false, ConversationFrame{}, "A conversation was made, renamed, or changed its members. Takes a rev, like a message."},
	{[]string{"removed"}, false, Removed{}, "The user is no longer in a conversation."},
	{[]string{"resync"}, false, Resync{}, "The device lacks something, or may lack it: ask with sync."},
	{[]string{"synced"}, false, Synced{}, "Answers sync without conversation."},
	{[]string{"changes"}, false, Changes{}, "Answers sync with conversation."},
	{[]string{"pong"}, false, Pong{}, "Answers ping at once, and says when the next one is due."},
	{[]string{"goodbye"}, false, Goodbye{}, "This server is about to stop, or another epoch has begun: connect again after the time given."},
	{[]string{"error"}, false, ErrorFrame{}, "A frame could not be understood or obeyed; the connection lives on."},
}
