package chat

// RemovalStage is the progress of the removal of a batch. A removal goes through
// the stages in this order, in steps of bounded work. Between two steps it stores
// the stage, and the account or message that it has reached.
type RemovalStage int

// The stages.
const (
	BatchInUse           RemovalStage = iota
	DisablingAccounts                 // accounts are disabled and their sessions end
	LeavingConversations              // conversations are left, or removed
	FindingAuthors                    // the authors of messages that stay are found
	DeletingAccounts                  // accounts without anything that stays are deleted
)

// Participation says that an account is, or was, a member of a conversation.
type Participation struct {
	Conversation ConversationID
	User         UserID
	Kind         Kind
	Role         Role // "" for an account that has left
	Others       bool // an account outside the batch is, or was, a member too
}

// ClosesConversation reports whether the conversation is removed with the batch.
func (p *Participation) ClosesConversation() bool { return !p.Others }

// LeavesConversation reports whether the account leaves the conversation, or has
// left it: the conversation is not removed, and it can be left.
func (p *Participation) LeavesConversation() bool { return p.Others && MayLeave(p.Kind) }

// MessageWalk is the state of an iteration over the messages of a conversation.
type MessageWalk struct {
	Conversation ConversationID
	Seen         int64 // seq of the last message that was visited
	Last         int64 // seq of the last message
}

// MessageRange is a part of a walk: the messages after After, up to and including
// To.
type MessageRange struct {
	Conversation ConversationID
	After, To    int64
	Last         bool // it is the last part of the walk
}

// Next returns the next part of a walk, of n messages at most.
func (w MessageWalk) Next(n int64) MessageRange {
	to := min(w.Last, w.Seen+n)
	return MessageRange{Conversation: w.Conversation, After: w.Seen, To: to, Last: to == w.Last}
}

// PlanErasure returns what a step erases of the conversations that are removed, in
// their order. work is the maximum number of messages and conversations together.
func PlanErasure(walks []MessageWalk, work int64) []MessageRange {
	var out []MessageRange
	for _, w := range walks {
		if work--; work < 0 {
			break
		}
		r := w.Next(work)
		if !r.Last && r.After == r.To {
			break
		}
		out = append(out, r)
		work -= r.To - r.After
	}
	return out
}
