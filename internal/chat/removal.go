package chat

// RemovalStage is how far the removal of a batch has come. A removal goes
// through the stages in this order, in steps of bounded work; what it keeps
// between two steps is the stage and the account or message that it has reached.
type RemovalStage int

// The stages.
const (
	BatchInUse           RemovalStage = iota
	DisablingAccounts                 // accounts are disabled and their sessions end
	LeavingConversations              // conversations are left, or removed
	FindingAuthors                    // in those that stay: who wrote there?
	DeletingAccounts                  // the accounts that nothing stays of
)

// Participation is an account's place in a conversation, which it is in or has left.
type Participation struct {
	Conversation ConversationID
	User         UserID
	Kind         Kind
	Role         Role // "" for one who has left
	Others       bool // somebody who is not of the batch is, or was, in the conversation
}

// ClosesConversation reports whether the conversation goes with the batch.
func (p *Participation) ClosesConversation() bool { return !p.Others }

// LeavesConversation reports whether the account leaves a conversation that stays, or has
// left it: one that cannot be left is not parted from.
func (p *Participation) LeavesConversation() bool { return p.Others && MayLeave(p.Kind) }

// MessageWalk is a walk through the messages of a conversation.
type MessageWalk struct {
	Conversation ConversationID
	Seen         int64 // seq up to which it has come
	Last         int64 // the last message
}

// MessageRange is a part of a walk: the messages after After, up to To.
type MessageRange struct {
	Conversation ConversationID
	After, To    int64
	Last         bool // nothing comes after it
}

// Next is the next part of a walk, of n messages at most.
func (w MessageWalk) Next(n int64) MessageRange {
	to := min(w.Last, w.Seen+n)
	return MessageRange{Conversation: w.Conversation, After: w.Seen, To: to, Last: to == w.Last}
}

// PlanErasure picks what a step erases of conversations that go, in their
// order. Every message counts as work, and so does every conversation.
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
