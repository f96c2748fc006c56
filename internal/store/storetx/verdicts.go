package storetx

import (
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Verdicts are what a transaction has decided about submissions, beside the
// messages that it stores. The zero value is empty.
type Verdicts struct {
	// Failures are to be stored. One that is stored already, by sender, client id
	// and digest, stays as it is.
	Failures []*chat.Failure
	// Readmitted are requeued submissions that were decided about anew: what was
	// stored of their failures is to be deleted first.
	Readmitted []*chat.Submission

	takes map[*chat.Failure]bool // those of Failures that take their client id
}

// Empty reports whether there is nothing to store.
func (v *Verdicts) Empty() bool { return len(v.Failures) == 0 && len(v.Readmitted) == 0 }

// TakesClientID reports whether a failure takes its client id. One whose client
// id was taken before is the only one that is a conflict; one of a message that
// was removed with its conversation has left it to the message.
func (v *Verdicts) TakesClientID(f *chat.Failure) bool { return v.takes[f] }

// Store notes that a submission is stored as m. It returns what is known of its
// client id from now on.
func (v *Verdicts) Store(s *chat.Submission, earlier chat.Earlier, m *chat.Message) chat.Earlier {
	v.readmit(s, earlier.Failure)
	return chat.Earlier{Message: m}
}

// Refuse notes that a submission is refused. It returns what is known of its
// client id from now on.
func (v *Verdicts) Refuse(s *chat.Submission, earlier chat.Earlier, refusal *chat.Error, now time.Time) chat.Earlier {
	f := chat.NewFailure(s, refusal, now)
	switch {
	case earlier.Message != nil:
		v.Failures = append(v.Failures, f)
		return earlier
	case earlier.Failure != nil && !s.Requeued:
		if earlier.Failure.Digest != f.Digest {
			v.Failures = append(v.Failures, f)
		}
		return earlier
	}
	v.readmit(s, earlier.Failure)
	v.Failures = append(v.Failures, f)
	if v.takes == nil {
		v.takes = map[*chat.Failure]bool{}
	}
	v.takes[f] = true
	return chat.Earlier{Failure: f}
}

// readmit notes that s was decided about anew after a failure, nil for none.
func (v *Verdicts) readmit(s *chat.Submission, failure *chat.Failure) {
	switch {
	case failure == nil:
	case v.takes[failure]: // in this transaction
		delete(v.takes, failure)
		v.Failures = slices.DeleteFunc(v.Failures, func(f *chat.Failure) bool { return f == failure })
	default:
		v.Readmitted = append(v.Readmitted, s)
	}
}

// Refuse decides about submissions that are not to be stored. earlier is what
// became of those that were sent under their client ids, refusalOf the refusal of
// one about which nothing was decided, nil for none.
func Refuse(batch []chat.Submission, earlier map[store.SendKey]chat.Earlier, refusalOf func(*chat.Submission) *chat.Error, now time.Time) (*Verdicts, []chat.Outcome) {
	v, out := &Verdicts{}, make([]chat.Outcome, len(batch))
	for i := range batch {
		s := &batch[i]
		key := store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
		msg, verdict, refusal := earlier[key].Answer(s)
		if verdict == 0 && refusal == nil {
			refusal = refusalOf(s)
		}
		out[i] = chat.Outcome{Verdict: verdict, Message: msg, Refusal: refusal}
		if refusal != nil {
			earlier[key] = v.Refuse(s, earlier[key], refusal, now)
		}
	}
	return v, out
}
