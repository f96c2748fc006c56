package load

import (
	"sync/atomic"
	"time"
)

// recording is what one stretch of a run did.
type recording struct {
	start, measuredFrom time.Duration // of the run: its beginning, and where the warm-up ends

	delivery, answer, complete, lag histogram // of what was due after the warm-up
	second                          histogram // of deliveries since the last second

	sent, accepted, refused, failed atomic.Int64
	addressed                       atomic.Int64 // receipts, had everything been taken
	expected                        atomic.Int64 // of them, those of what was not refused; that may come or not
	delivered                       atomic.Int64 // receipts
	receipts                        atomic.Int64 // of them, those of what was due after the warm-up
	measured                        atomic.Int64 // messages of which all receipts came and that were due after the warm-up
}

// queue is about how many messages the system has accepted and not delivered:
// its queues' length, as one sees it from outside.
func (r *recording) queue() int64 {
	sent, audience := r.sent.Load(), r.addressed.Load()
	if sent == 0 || audience == 0 {
		return 0
	}
	return max(0, r.accepted.Load()-r.delivered.Load()*sent/audience)
}

// includes tells whether what was due then belongs to the stretch.
func (r *recording) includes(due time.Duration) bool { return r != nil && due >= r.start }

// recordReceipt writes down a receipt; last says that it was the message's last one.
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

// missing is how many receipts have not come of what was not refused.
func (r *recording) missing() int64 { return r.expected.Load() - r.delivered.Load() }

// unanswered is how many messages have no answer.
func (r *recording) unanswered() int64 { return r.sent.Load() - r.accepted.Load() - r.refused.Load() }
