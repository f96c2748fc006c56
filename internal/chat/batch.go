package chat

// A batch is a group of temporary accounts that are created, and later removed,
// together, for example the users of a load test or of a demonstration. Nobody
// can log in to them; each has a session from the start.
//
// When a batch is removed, conversations in which nobody else has ever been are
// removed too. The accounts leave all other conversations that can be left. Their
// messages there stay, and so do the accounts of the authors, disabled. The
// accounts in direct conversations stay too, because these cannot be left.

// The limits on batches.
const (
	MaxBatchName          = 40     // characters
	MaxBatchUsers         = 1000   // accounts created in one request
	MaxBatchConversations = 1000   // conversations created in one request
	MaxBatchMembers       = 40_000 // members of all these conversations together: what fits into a request through a proxy
)

// CheckBatchName returns a refusal unless a batch may have the name: lower-case
// letters, digits and -.
func CheckBatchName(name string) error {
	if len(name) == 0 || len(name) > MaxBatchName {
		return Refuse(CodeInvalid, "batch", "the name of a batch has 1 to %d characters", MaxBatchName)
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return Refuse(CodeInvalid, "batch", "the name of a batch may have lower-case letters, digits and - only")
		}
	}
	return nil
}
