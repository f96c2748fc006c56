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
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// batch is the input and the result of an Append.
type batch struct {
	in  []chat.Submission
	out []chat.Outcome
}

// FindByClientID returns what was stored under client ids; see the contract.
func (s *Store) FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]chat.Earlier, error) {
	return read(ctx, s, "find messages by client id", func(c *conn) (map[store.SendKey]chat.Earlier, error) {
		out := map[store.SendKey]chat.Earlier{}
		for _, key := range keys {
			e, err := findEarlier(c, key)
			if err != nil {
				return nil, err
			}
			if !e.None() {
				out[key] = e
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
// Nearly every submission is new. So it first treats all as new and relies on
// the unique index, which costs nothing beyond the insert itself. Only after a
// conflict, everything is undone and done again with every client id looked up.
func (w *writer) append(jobs []*job) error {
	ok, err := w.appendAll(jobs, false)
	if err == nil && !ok {
		ok, err = w.appendAll(jobs, true)
		if err == nil && !ok {
			err = errors.New("a client id that was looked up and not found is in use")
		}
	}
	return err
}

// appendAll sets the outcome of every submission. It returns false, with
// everything undone, when a client id was in use.
func (w *writer) appendAll(jobs []*job, lookUp bool) (ok bool, err error) {
	clear(w.seen)
	w.verdicts = storetx.Verdicts{}
	now := w.store.now().Truncate(time.Millisecond).UTC()
	var touched []*cachedConversation
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
			c, err := w.decide(&b.in[i], &b.out[i], lookUp, now)
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
	if w.inserts.conflict {
		return false, w.undoAppend(touched)
	}
	for _, c := range touched {
		c.ActiveAt = now
		if err := w.saveHead(c); err != nil {
			return false, err
		}
	}
	return true, w.saveVerdicts(&w.verdicts, now)
}

// decide sets the outcome of one submission. It returns the conversation when
// the message is to be stored.
func (w *writer) decide(s *chat.Submission, out *chat.Outcome, lookUp bool, now time.Time) (*cachedConversation, error) {
	key := store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
	earlier, known := w.seen[key]
	if !known {
		var err error
		switch {
		case lookUp:
			earlier, err = findEarlier(w.conn, key)
		case w.failed.mayHave(key):
			earlier.Failure, err = findFailure(w.conn, key)
		}
		if err != nil {
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
	if err != nil && earlier.None() && !lookUp {
		// It would be refused; but a duplicate gets the same answer as the first
		// submission.
		if earlier, err = findEarlier(w.conn, key); err != nil {
			return nil, err
		}
		msg, verdict, err = head.Admit(s, role, earlier, 0, now)
	}
	var refusal *chat.Error
	switch {
	case errors.As(err, &refusal):
		out.Refusal = refusal
		w.seen[key] = w.verdicts.Refuse(s, earlier, refusal, now)
		return nil, nil
	case err != nil:
		return nil, err
	case verdict == chat.Duplicate:
		of, err := w.conversation(msg.Conversation)
		if err != nil || of == nil {
			return nil, errors.Join(err, missingConversation(of, msg.Conversation))
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
	w.seen[key] = w.verdicts.Store(s, earlier, &out.Message)
	return c, w.inserts.add(c.slot, &out.Message)
}

func missingConversation(c *cachedConversation, id chat.ConversationID) error {
	if c != nil {
		return nil
	}
	return fmt.Errorf("conversation %d of a message is missing", id)
}

// findByClientID returns what was stored under a client id; nil for nothing.
func findByClientID(c *conn, key store.SendKey) (*chat.Message, error) {
	var msg chat.Message
	found, err := c.queryRow(`SELECT `+messageColumns+` FROM messages g JOIN conversations c ON c.slot = g.place >> 32
		WHERE g.client_id = ? AND g.sender = ?`, func(r row) { msg = scanMessage(r) }, key.ClientID[:], key.Sender)
	if err != nil || !found {
		return nil, err
	}
	return &msg, nil
}

// undoAppend deletes what appendAll has inserted: everything after the heads.
func (w *writer) undoAppend(touched []*cachedConversation) error {
	for _, c := range touched {
		if _, err := w.conn.exec(`DELETE FROM messages WHERE place > ? AND place <= ?`,
			messageKey(c.slot, c.before.Seq), messageKey(c.slot, maxSeq)); err != nil {
			return err
		}
		c.Seq, c.Rev = c.before.Seq, c.before.Rev
	}
	return nil
}

// saveHead stores the head of a conversation, as a change.
func (w *writer) saveHead(c *cachedConversation) error {
	change, err := w.nextChange()
	if err != nil {
		return err
	}
	_, err = w.conn.exec(`UPDATE conversations SET seq = ?, rev = ?, active_at = ?, change = ? WHERE slot = ?`,
		c.Seq, c.Rev, c.ActiveAt, change, c.slot)
	return err
}

// OR FAIL, because a failure undoes the whole transaction anyway: SQLite then
// keeps no copy of the pages that the statement touches, which saves a tenth of
// the time.
const (
	insertHead   = `INSERT OR FAIL INTO messages (place, id, sender, client_id, rev, reply_to, at, body) VALUES `
	insertRow    = `(?, ?, ?, ?, ?, ?, ?, ?)`
	insertTail   = ` ON CONFLICT (client_id, sender) DO NOTHING`
	insertParams = 8
)

// insertSizes are the numbers of rows that one statement inserts, largest
// first. One statement for many rows saves the overhead of the others.
var insertSizes = [...]int{64, 8, 1}

var insertSQL = func() (texts [len(insertSizes)]string) {
	for i, n := range insertSizes {
		texts[i] = insertHead + strings.TrimSuffix(strings.Repeat(insertRow+", ", n), ", ") + insertTail
	}
	return texts
}()

// inserter collects rows for statements of many rows.
type inserter struct {
	conn     *conn
	args     []driver.NamedValue
	conflict bool // a row was skipped because its client id is in use
}

func (in *inserter) reset(c *conn) {
	clear(in.args)
	in.conn, in.args, in.conflict = c, in.args[:0], false
}

func (in *inserter) add(slot int64, m *chat.Message) error {
	for _, v := range [insertParams]driver.Value{
		messageKey(slot, m.Seq), int64(m.ID), int64(m.Sender), m.ClientID[:],
		m.Rev, m.ReplyTo, millis(m.At), m.Body,
	} {
		in.args = append(in.args, driver.NamedValue{Ordinal: len(in.args) + 1, Value: v})
	}
	if len(in.args) < insertSizes[0]*insertParams {
		return nil
	}
	return in.flush()
}

// flush inserts the collected rows.
func (in *inserter) flush() error {
	args := in.args
	for i, n := range insertSizes {
		for len(args) >= n*insertParams && !in.conflict {
			part := args[:n*insertParams]
			for j := range part {
				part[j].Ordinal = j + 1
			}
			stored, err := in.conn.execNamed(insertSQL[i], part)
			if err != nil {
				return err
			}
			in.conflict = stored < int64(n)
			args = args[len(part):]
		}
	}
	in.args = in.args[:0]
	return nil
}
