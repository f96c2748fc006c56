package chat

// A batch is a group of throw-away accounts that are made, and later removed,
// together: the people of a load test, of a demonstration. Nobody can log in to
// one; each has a session from the start.
//
// When a batch is removed, a conversation that nobody else has ever been in
// goes with it. From any other its accounts part as if they had left, where one
// can leave. What they wrote there stays, and with it the account that wrote
// it, disabled; so does that of a direct conversation, which cannot be left.

// The limits on batches.
const (
	MaxBatchName          = 40     // characters
	MaxBatchUsers         = 1000   // accounts made in one request
	MaxBatchConversations = 1000   // conversations made in one request
	MaxBatchMembers       = 40_000 // their members, taken together: what a request through a proxy can hold
)

// CheckBatchName tells whether a batch may have the name: lower-case letters,
// digits and -.
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
