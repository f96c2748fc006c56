package audit

import (
	"cmp"
	"fmt"
	"slices"
)

// Stored is a message in a conversation's history.
type Stored struct {
	Key Key
	Seq int64 // 0 for a system that gives none
}

// Verdict is the result of checking a run.
type Verdict struct {
	Sent               int64 `json:"sent"`
	Accepted           int64 `json:"accepted"`
	Refused            int64 `json:"refused"`
	Failed             int64 `json:"failed"`     // accepted, then failed, and the sender was told
	Unanswered         int64 `json:"unanswered"` // no answer came by the end
	Delivered          int64 `json:"delivered"`  // receipts, without duplicates
	Lost               int64 `json:"lost"`       // missing receipts of accepted messages, and accepted messages that are not stored
	Duplicated         int64 `json:"duplicated"` // repeated receipts and repeated stored messages
	OutOfOrder         int64 `json:"out_of_order"`
	Foreign            int64 `json:"foreign"`  // receipts of messages that were not sent to the conversation, or by users who are not in it
	HistoryUnavailable int64 `json:"unasked"`  // conversations whose history the system cannot return
	Repaired           int64 `json:"repaired"` // receipts that a device had to request with sync, because a push was missing or out of order

	// Violations describe the first few violations of each kind.
	Violations []string `json:"offenders,omitempty"`
}

// Passed reports whether nothing was lost, duplicated, out of order or foreign.
func (v *Verdict) Passed() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.OutOfOrder == 0 && v.Foreign == 0
}

// Add adds the verdict on other users of the same run.
func (v *Verdict) Add(other *Verdict) {
	v.Sent += other.Sent
	v.Accepted += other.Accepted
	v.Refused += other.Refused
	v.Failed += other.Failed
	v.Unanswered += other.Unanswered
	v.Delivered += other.Delivered
	v.Lost += other.Lost
	v.Duplicated += other.Duplicated
	v.OutOfOrder += other.OutOfOrder
	v.Foreign += other.Foreign
	v.HistoryUnavailable += other.HistoryUnavailable
	v.Repaired += other.Repaired
	v.Violations = append(v.Violations, other.Violations...)
	v.Violations = v.Violations[:min(len(v.Violations), 4*maxViolations)]
}

// maxViolations bounds how many violations of one kind are described; for
// several processes, four times as many in all.
const maxViolations = 5

// Check checks the record. history returns a room's history in order, or nil
// when the system cannot return it; a nil function skips histories. Nothing may
// be recorded any more.
func (a *Audit) Check(history func(room int) ([]Stored, error)) (*Verdict, error) {
	c := &checker{audit: a, reported: map[*int64]int{}}
	for i := range a.users {
		for _, m := range a.users[i].sent {
			c.Sent++
			switch m.state {
			case Accepted:
				c.Accepted++
			case Refused:
				c.Refused++
			case Failed:
				c.Failed++
			case Unanswered:
				c.Unanswered++
			}
		}
	}
	inRooms := a.sentByRoom()
	for i := range a.rooms {
		var stored []Stored
		if history != nil {
			var err error
			if stored, err = history(i); err != nil {
				return nil, fmt.Errorf("read the history of %s: %w", a.rooms[i].name, err)
			}
		}
		if stored == nil {
			c.HistoryUnavailable++
		}
		c.checkRoom(&a.rooms[i], i, inRooms[i], stored, stored != nil)
	}
	for _, k := range a.leaks {
		c.violation(&c.Foreign, "%s: person %d, who is not in it, received %v", a.rooms[k.room].name, k.user, k.key)
	}
	return &c.Verdict, nil
}

// sentByRoom returns the messages that were sent to each room.
func (a *Audit) sentByRoom() [][]Key {
	out := make([][]Key, len(a.rooms))
	for p := range a.users {
		for n, m := range a.users[p].sent {
			out[m.room] = append(out[m.room], Key{User: p, N: n})
		}
	}
	return out
}

type checker struct {
	Verdict
	audit    *Audit
	reported map[*int64]int // violations described so far, by the counter that they belong to
}

func (c *checker) violation(count *int64, format string, args ...any) {
	*count++
	if c.reported[count]++; c.reported[count] <= maxViolations {
		c.Violations = append(c.Violations, fmt.Sprintf(format, args...))
	}
}

func (c *checker) state(k Key) State { return c.audit.users[k.User].sent[k.N].state }

// sentTo reports whether a message was sent to a room.
func (c *checker) sentTo(room int, k Key) bool {
	p, ok := c.audit.user(k)
	return ok && k.N < len(p.sent) && int(p.sent[k.N].room) == room
}

// checkRoom checks one conversation. The order that all devices must have seen
// is that of the history; without a history, that of the seqs; without seqs,
// that of the device that received most, which lacks its own messages where the
// system does not echo.
func (c *checker) checkRoom(r *room, number int, sent []Key, stored []Stored, asked bool) {
	place := map[Key]int{} // position in the agreed order
	if asked {
		c.checkStored(r, number, sent, stored, place)
	} else {
		for i, k := range c.agreedOrder(r, number) {
			place[k] = i
		}
	}
	c.checkSenders(r, place)
	for i := range r.devices {
		c.checkDevice(r, number, &r.devices[i], i, sent, place, asked)
	}
}

// checkStored checks a history: everything that was accepted, once, with
// consecutive seqs.
func (c *checker) checkStored(r *room, number int, sent []Key, stored []Stored, place map[Key]int) {
	for i, s := range stored {
		if !c.sentTo(number, s.Key) {
			c.violation(&c.Foreign, "%s: seq %d is stored, and is none of this run's", r.name, s.Seq)
			continue
		}
		if _, twice := place[s.Key]; twice {
			c.violation(&c.Duplicated, "%s: %v is stored twice", r.name, s.Key)
			continue
		}
		place[s.Key] = i
		if i > 0 && s.Seq != 0 && s.Seq != stored[i-1].Seq+1 {
			c.violation(&c.OutOfOrder, "%s: seq %d is stored after %d", r.name, s.Seq, stored[i-1].Seq)
		}
	}
	for _, k := range sent {
		if _, ok := place[k]; !ok && c.state(k) == Accepted {
			c.violation(&c.Lost, "%s: %v was accepted and is not stored", r.name, k)
		}
	}
}

// agreedOrder returns the order that the devices saw.
func (c *checker) agreedOrder(r *room, number int) []Key {
	bySeq := map[int64]Key{}
	longest := 0
	for i := range r.devices {
		d := &r.devices[i]
		if len(d.received) > len(r.devices[longest].received) {
			longest = i
		}
		for _, a := range d.received {
			k := Key{User: int(a.user), N: int(a.n)}
			if a.seq == 0 || !c.sentTo(number, k) {
				continue
			}
			if other, ok := bySeq[a.seq]; ok && other != k {
				c.violation(&c.OutOfOrder, "%s: seq %d is %v at one device and %v at another", r.name, a.seq, other, k)
				continue
			}
			bySeq[a.seq] = k
		}
	}
	var order []Key
	if len(bySeq) > 0 {
		seqs := make([]int64, 0, len(bySeq))
		for seq := range bySeq {
			seqs = append(seqs, seq)
		}
		slices.Sort(seqs)
		for _, seq := range seqs {
			order = append(order, bySeq[seq])
		}
		return order
	}
	if len(r.devices) > 0 {
		seen := map[Key]bool{}
		for _, a := range r.devices[longest].received {
			if k := (Key{User: int(a.user), N: int(a.n)}); c.sentTo(number, k) && !seen[k] {
				seen[k] = true
				order = append(order, k)
			}
		}
	}
	return order
}

// checkSenders checks that each sender's messages are in the order in which
// they were sent.
func (c *checker) checkSenders(r *room, place map[Key]int) {
	keys := make([]Key, 0, len(place))
	for k := range place {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.N, b.N)) })
	for i := 1; i < len(keys); i++ {
		if a, b := keys[i-1], keys[i]; a.User == b.User && place[a] > place[b] {
			c.violation(&c.OutOfOrder, "%s: %v stands before the one sent before it", r.name, b)
		}
	}
}

// checkDevice checks what one device received.
func (c *checker) checkDevice(r *room, number int, d *device, at int, sent []Key, place map[Key]int, asked bool) {
	isStored := func(k Key) bool {
		_, is := place[k]
		return asked && is
	}
	heard := make(map[Key]bool, len(d.received))
	last, latest := -1, map[int]int{} // position in the agreed order; by sender, the last N of messages not in it
	for _, a := range d.received {
		k := Key{User: int(a.user), N: int(a.n)}
		if !c.sentTo(number, k) {
			c.violation(&c.Foreign, "%s: device %d of person %d received what nobody sent there (%v)", r.name, at, d.user, k)
			continue
		}
		if !r.receives(d, k) {
			c.violation(&c.Foreign, "%s: device %d of person %d received its own %v", r.name, at, d.user, k)
			continue
		}
		if heard[k] {
			c.violation(&c.Duplicated, "%s: device %d of person %d received %v again", r.name, at, d.user, k)
			continue
		}
		heard[k] = true
		c.Delivered++
		p, known := place[k]
		if !known {
			// Not stored, which checkStored reports, or there is no complete
			// order. The sender's own order holds in any case.
			if n, any := latest[k.User]; any && k.N < n {
				c.violation(&c.OutOfOrder, "%s: device %d of person %d received %v after a later one", r.name, at, d.user, k)
			}
			latest[k.User] = max(latest[k.User], k.N)
			continue
		}
		if p < last {
			c.violation(&c.OutOfOrder, "%s: device %d of person %d received %v after a later one", r.name, at, d.user, k)
		}
		last = max(last, p)
	}
	for _, k := range sent {
		if heard[k] || !r.receives(d, k) {
			continue
		}
		switch state := c.state(k); {
		case state == Accepted:
			c.violation(&c.Lost, "%s: device %d of person %d never received %v, which was accepted", r.name, at, d.user, k)
		case state == Unanswered && isStored(k):
			c.violation(&c.Lost, "%s: device %d of person %d never received %v, which is stored", r.name, at, d.user, k)
		}
	}
}
