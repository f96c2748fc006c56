package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// batch is an Append on its way.
type batch struct {
	in  []chat.Submission
	out []chat.Outcome
}

// FindByClientID finds what was stored under names; see the contract.
func (s *Store) FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]*chat.Message, error) {
	return read(ctx, s, "look messages up", func(c *conn) (map[store.SendKey]*chat.Message, error) {
		out := map[store.SendKey]*chat.Message{}
		for _, key := range keys {
			m, err := sent(c, key)
			if err != nil {
				return nil, err
			}
			if m != nil {
				out[key] = m
			}
		}
		return out, nil
	})
}

// Append stores a batch; see the contract.
func (s *Store) Append(ctx context.Context, in []chat.Submission) ([]chat.Outcome, error) {
	if len(in) == 0 {
		return nil, nil
	}
	b := &batch{in: in}
	if err := s.submit(ctx, &job{batch: b, weight: len(in)}); err != nil {
		return nil, s.wrap("append messages", err)
	}
	return b.out, nil
}

// append stores the batches of consecutive jobs.
//
// Nearly every submission is new. So it first takes all for new and lets the
// unique index object while it inserts, which costs nothing more than the
// insert itself. Only when it objects, all is taken back and done once more,
// with every client id looked up.
func (w *writer) append(jobs []*job) error {
	ok, err := w.appendAll(jobs, false)
	if err == nil && !ok {
		ok, err = w.appendAll(jobs, true)
		if err == nil && !ok {
			err = errors.New("a message that was looked up and is not there is there after all")
		}
	}
	return err
}

// appendAll gives every submission its outcome. It returns false, with all
// taken back, when a client id was taken.
func (w *writer) appendAll(jobs []*job, lookUp bool) (ok bool, err error) {
	clear(w.seen)
	now := w.store.now().Truncate(time.Millisecond).UTC()
	var touched []*known
	defer func() {
		for _, c := range touched {
			c.dirty = false
		}
	}()
	w.inserts.reset(w.conn)
	for _, j := range jobs {
		b := j.batch
		b.out = make([]chat.Outcome, len(b.in))
		for i := range b.in {
			c, err := w.outcome(&b.in[i], &b.out[i], lookUp, now)
			if err != nil {
				return false, err
			}
			if c != nil && !c.dirty {
				c.dirty = true
				touched = append(touched, c)
			}
		}
	}
	if err := w.inserts.flush(); err != nil {
		return false, err
	}
	if w.inserts.taken {
		return false, w.takeBack(touched)
	}
	for _, c := range touched {
		c.ActiveAt = now
		if err := w.saveHead(c); err != nil {
			return false, err
		}
	}
	return true, nil
}

// outcome decides about one submission. It returns the conversation when the
// message is to be stored.
func (w *writer) outcome(s *chat.Submission, out *chat.Outcome, lookUp bool, now time.Time) (*known, error) {
	key := store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
	var earlier *chat.Message
	if o := w.seen[key]; o != nil {
		earlier = &o.Message
	} else if lookUp {
		var err error
		if earlier, err = sent(w.conn, key); err != nil {
			return nil, err
		}
	}
	c, err := w.conversation(s.Conversation)
	if err != nil {
		return nil, err
	}
	var head chat.Head
	var role chat.Role
	if c != nil {
		head = chat.Head{Seq: c.Seq, Rev: c.Rev}
		if role, err = w.role(c, s.Sender); err != nil {
			return nil, err
		}
	}
	before := head
	msg, verdict, err := head.Admit(s, role, earlier, 0, now)
	if err != nil && earlier == nil && !lookUp {
		// It would be refused; but a repetition is answered as the first was.
		if earlier, err = sent(w.conn, key); err != nil {
			return nil, err
		}
		msg, verdict, err = head.Admit(s, role, earlier, 0, now)
	}
	var refusal *chat.Error
	switch {
	case errors.As(err, &refusal):
		out.Refusal = refusal
		return nil, nil
	case err != nil:
		return nil, err
	case verdict == chat.Duplicate:
		of, err := w.conversation(msg.Conversation)
		if err != nil || of == nil {
			return nil, errors.Join(err, missing(of, msg.Conversation))
		}
		*out = chat.Outcome{Verdict: verdict, Message: msg, Audience: of.audience}
		return nil, nil
	case head.Seq > maxSeq:
		return nil, fmt.Errorf("conversation %d is full", c.ID)
	}
	msg.ID = chat.MessageID(w.store.newID())
	if !c.dirty {
		c.before = before
	}
	c.Seq, c.Rev = head.Seq, head.Rev
	*out = chat.Outcome{Verdict: verdict, Message: msg, Audience: c.audience}
	w.seen[key] = out
	return c, w.inserts.add(c.slot, &out.Message)
}

func missing(c *known, id chat.ConversationID) error {
	if c != nil {
		return nil
	}
	return fmt.Errorf("conversation %d of a message is missing", id)
}

// sent finds what was stored under a client id; nil for nothing.
func sent(c *conn, key store.SendKey) (*chat.Message, error) {
	var msg chat.Message
	found, err := c.one(`SELECT `+messageColumns+` FROM messages g JOIN conversations c ON c.slot = g.place >> 32
		WHERE g.client_id = ? AND g.sender = ?`, func(r row) { msg = scanMessage(r) }, key.ClientID[:], key.Sender)
	if err != nil || !found {
		return nil, err
	}
	return &msg, nil
}

// takeBack undoes what appendAll has inserted: all that lies past the heads.
func (w *writer) takeBack(touched []*known) error {
	for _, c := range touched {
		if _, err := w.conn.exec(`DELETE FROM messages WHERE place > ? AND place <= ?`,
			place(c.slot, c.before.Seq), place(c.slot, maxSeq)); err != nil {
			return err
		}
		c.Seq, c.Rev = c.before.Seq, c.before.Rev
	}
	return nil
}

// saveHead writes down that a conversation has moved on.
func (w *writer) saveHead(c *known) error {
	change, err := w.nextChange()
	if err != nil {
		return err
	}
	_, err = w.conn.exec(`UPDATE conversations SET seq = ?, rev = ?, active_at = ?, change = ? WHERE slot = ?`,
		c.Seq, c.Rev, c.ActiveAt, change, c.slot)
	return err
}

// OR FAIL, because a failure undoes the whole transaction anyway: SQLite then
// keeps no copy of the pages that the statement touches, worth a tenth.
const (
	insertHead   = `INSERT OR FAIL INTO messages (place, id, sender, client_id, rev, reply_to, at, body) VALUES `
	insertRow    = `(?, ?, ?, ?, ?, ?, ?, ?)`
	insertTail   = ` ON CONFLICT (client_id, sender) DO NOTHING`
	insertParams = 8
)

// insertSizes are the numbers of rows that one statement inserts, largest
// first. One statement for many rows saves the start and end of the others.
var insertSizes = [...]int{64, 8, 1}

var insertSQL = func() (texts [len(insertSizes)]string) {
	for i, n := range insertSizes {
		texts[i] = insertHead + strings.TrimSuffix(strings.Repeat(insertRow+", ", n), ", ") + insertTail
	}
	return texts
}()

// inserter gathers rows for statements of many rows.
type inserter struct {
	conn  *conn
	args  []driver.NamedValue
	taken bool // a row was passed over because its client id was taken
}

func (in *inserter) reset(c *conn) {
	clear(in.args)
	in.conn, in.args, in.taken = c, in.args[:0], false
}

func (in *inserter) add(slot int64, m *chat.Message) error {
	for _, v := range [insertParams]driver.Value{
		place(slot, m.Seq), int64(m.ID), int64(m.Sender), m.ClientID[:],
		m.Rev, m.ReplyTo, millis(m.At), m.Body,
	} {
		in.args = append(in.args, driver.NamedValue{Ordinal: len(in.args) + 1, Value: v})
	}
	if len(in.args) < insertSizes[0]*insertParams {
		return nil
	}
	return in.flush()
}

// flush inserts what was gathered.
func (in *inserter) flush() error {
	args := in.args
	for i, n := range insertSizes {
		for len(args) >= n*insertParams && !in.taken {
			part := args[:n*insertParams]
			for j := range part {
				part[j].Ordinal = j + 1
			}
			stored, err := in.conn.execNamed(insertSQL[i], part)
			if err != nil {
				return err
			}
			in.taken = stored < int64(n)
			args = args[len(part):]
		}
	}
	in.args = in.args[:0]
	return nil
}
