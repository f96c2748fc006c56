package load

import (
	"sync/atomic"
	"time"
)

// recording is what one phase measures.
type recording struct {
	start, measuredFrom time.Duration // since the start of the run: the start of the phase, and the end of its warm-up

	delivery, answer, complete, lag histogram // of what was due after the warm-up
	second                          histogram // of deliveries since the last second

	sent, accepted, refused, failed atomic.Int64
	addressed                       atomic.Int64 // receipts if everything had been accepted
	expected                        atomic.Int64 // of them, those of messages that were not refused
	delivered                       atomic.Int64 // receipts
	receipts                        atomic.Int64 // of them, those of messages that were due after the warm-up
	measured                        atomic.Int64 // messages that were due after the warm-up and have all their receipts
}

// queue estimates how many messages the system has accepted and not delivered:
// the length of its queues as seen from outside.
func (r *recording) queue() int64 {
	sent, audience := r.sent.Load(), r.addressed.Load()
	if sent == 0 || audience == 0 {
		return 0
	}
	return max(0, r.accepted.Load()-r.delivered.Load()*sent/audience)
}

// includes reports whether a message that was due then belongs to the phase.
func (r *recording) includes(due time.Duration) bool { return r != nil && due >= r.start }

// recordReceipt records a receipt; last is set for the message's last one.
func (r *recording) recordReceipt(due, now time.Duration, last bool) {
	r.delivered.Add(1)
	r.second.record(now - due)
	if due < r.measuredFrom {
		return
	}
	r.receipts.Add(1)
	r.delivery.record(now - due)
	if last {
		r.measured.Add(1)
		r.complete.record(now - due)
	}
}

func (r *recording) recordAnswer(due, now time.Duration) {
	if due >= r.measuredFrom {
		r.answer.record(now - due)
	}
}

// missing returns how many expected receipts have not come.
func (r *recording) missing() int64 { return r.expected.Load() - r.delivered.Load() }

// unanswered returns how many messages have no answer.
func (r *recording) unanswered() int64 { return r.sent.Load() - r.accepted.Load() - r.refused.Load() }
