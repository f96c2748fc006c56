package hikyaku

import (
	"bytes"
	"encoding/json"
	"sync"
)

// outbox keeps the order of a connection's messages, as the protocol has every client
// do it (R41, R42). People here give up what is refused for now. Until the server
// knows, it refuses whatever comes after it, and so on: whoever sent on would never be
// heard again, as long as messages come more often than answers. So after a refusal
// nothing is sent until everything has its answer. Then what was refused is withdrawn,
// and what was held back is sent, as far as it may be without an answer.
//
// Its methods may be called concurrently, send by one goroutine at a time.
type outbox struct {
	out         *frameSender
	maxInFlight int

	mu         sync.Mutex
	unanswered int
	refused    bool  // and not all that was sent is answered
	withdrawn  []any // frames, to be sent before those that are held
	held       []any // frames, in order
}

// send sends an encoded message, or holds it back. write is called in the first case,
// unless earlier ones are still to be written.
func (o *outbox) send(frame []byte, write func([]byte) error) error {
	o.mu.Lock()
	if o.refused || len(o.held) > 0 {
		o.held = append(o.held, json.RawMessage(bytes.Clone(frame)))
		o.mu.Unlock()
		return nil
	}
	o.unanswered++
	behind := o.out.sendBehind(frame)
	o.mu.Unlock()
	if behind {
		return nil
	}
	return write(frame)
}

// answered is called when a message is accepted, or refused finally.
func (o *outbox) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unanswered--
	o.release()
}

// refusedForNow is called when a message is refused that may be sent again; withdraw
// is the frame that says that it will not be.
func (o *outbox) refusedForNow(withdraw any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unanswered--
	o.refused = true
	o.withdrawn = append(o.withdrawn, withdraw)
	o.release()
}

// release sends what may be sent now. o.mu must be held.
func (o *outbox) release() {
	if o.refused && o.unanswered > 0 {
		return
	}
	n := min(len(o.held), max(o.maxInFlight-o.unanswered, 0))
	if frames := append(o.withdrawn, o.held[:n]...); len(frames) > 0 {
		o.out.send(frames...)
	}
	o.refused, o.withdrawn = false, nil
	o.unanswered += n
	if o.held = o.held[n:]; len(o.held) == 0 {
		o.held = nil
	}
}
