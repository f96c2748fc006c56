package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// purgeLimit is how many failures that are too old are deleted when others are
// stored: more than are stored on average, so that the table does not grow.
const purgeLimit = 100

// failedKeys is a set of hashes of the client ids that have failed. It says that
// one has not failed, without a look-up; that one has, it only suspects. It is
// 1 MiB and is read from the table at the start; the entries of failures that
// were deleted remain until the next.
type failedKeys struct{ bits []uint64 }

const failedKeysBits = 1 << 23

func newFailedKeys() failedKeys { return failedKeys{make([]uint64, failedKeysBits/64)} }

func (k failedKeys) place(key store.SendKey) (word int, mask uint64) {
	// The last bytes of a client id are random.
	h := (binary.BigEndian.Uint64(key.ClientID[8:]) ^ uint64(key.Sender)) % failedKeysBits //nolint:gosec // all bits count
	return int(h / 64), 1 << (h % 64)                                                      //nolint:gosec // below failedKeysBits
}

func (k failedKeys) add(key store.SendKey) {
	word, mask := k.place(key)
	k.bits[word] |= mask
}

func (k failedKeys) mayHave(key store.SendKey) bool {
	word, mask := k.place(key)
	return k.bits[word]&mask != 0
}

// loadFailedKeys reads the client ids that have failed.
func (w *writer) loadFailedKeys() error {
	w.failed = newFailedKeys()
	return w.conn.query(`SELECT sender, client_id FROM failures WHERE code <> 'conflict'`, func(r row) error {
		key := store.SendKey{Sender: r.user(0)}
		copy(key.ClientID[:], r.blob(1))
		w.failed.add(key)
		return nil
	})
}

const failureColumns = `sender, client_id, digest, conversation, code, field, text, at`

func scanFailure(r row) chat.Failure {
	f := chat.Failure{
		Sender: r.user(0), Conversation: chat.ConversationID(r.int(3)), Code: chat.Code(r.text(4)),
		Field: r.text(5), Text: r.text(6), At: r.time(7),
	}
	copy(f.ClientID[:], r.blob(1))
	copy(f.Digest[:], r.blob(2))
	return f
}

// findFailure returns the failure that has taken a client id; nil for none.
func findFailure(c *conn, key store.SendKey) (failure *chat.Failure, err error) {
	_, err = c.queryRow(`SELECT `+failureColumns+` FROM failures WHERE sender = ? AND client_id = ? AND code <> 'conflict'`,
		func(r row) { f := scanFailure(r); failure = &f }, key.Sender, key.ClientID[:])
	return failure, err
}

// findEarlier returns what became of what was sent under a client id.
func findEarlier(c *conn, key store.SendKey) (e chat.Earlier, err error) {
	if e.Message, err = findByClientID(c, key); err != nil || e.Message != nil {
		return e, err
	}
	e.Failure, err = findFailure(c, key)
	return e, err
}

// saveVerdicts stores what was decided: nothing when nothing has failed.
func (w *writer) saveVerdicts(v *storetx.Verdicts, now time.Time) error {
	for _, s := range v.Readmitted {
		digest := s.Digest()
		if _, err := w.conn.exec(`DELETE FROM failures WHERE sender = ? AND client_id = ? AND (code <> 'conflict' OR digest = ?)`,
			s.Sender, s.ClientID[:], digest[:]); err != nil {
			return err
		}
	}
	if len(v.Failures) == 0 {
		return nil
	}
	change, err := w.nextChange()
	if err != nil {
		return err
	}
	for _, f := range v.Failures {
		if _, err := w.conn.exec(`INSERT INTO failures (`+failureColumns+`, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET code = excluded.code, field = excluded.field, text = excluded.text, at = excluded.at, change = excluded.change
			WHERE code = 'conflict' AND excluded.code <> 'conflict'`, // what it was in conflict with is too old and gone
			f.Sender, f.ClientID[:], f.Digest[:], f.Conversation, string(f.Code), f.Field, f.Text, f.At, change); err != nil {
			return err
		}
		w.failed.add(store.SendKey{Sender: f.Sender, ClientID: f.ClientID})
	}
	_, err = w.conn.exec(`DELETE FROM failures WHERE (sender, client_id, digest) IN (
		SELECT sender, client_id, digest FROM failures WHERE at < ? ORDER BY at LIMIT +?)`, now.Add(-store.FailureRetention), purgeLimit)
	return err
}

// Refuse stores that a submission is refused; see the contract.
func (s *Store) Refuse(ctx context.Context, in chat.Submission, refusal *chat.Error) (chat.Outcome, error) {
	out, err := change(ctx, s, "refuse a message", func(t *tx) ([]chat.Outcome, error) {
		return t.refuse([]chat.Submission{in}, func(*chat.Submission) (*chat.Error, error) { return refusal, nil })
	})
	if err != nil {
		return chat.Outcome{}, err
	}
	return out[0], nil
}

// RefuseNonMembers refuses submissions of non-members; see the contract.
func (s *Store) RefuseNonMembers(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	return change(ctx, s, "refuse messages of non-members", func(t *tx) ([]chat.Outcome, error) {
		return t.refuse(batch, func(s *chat.Submission) (*chat.Error, error) {
			c, err := t.conversation(s.Conversation)
			if err != nil || c == nil {
				return chat.NotFound("conversation"), err
			}
			role, err := t.role(c, s.Sender)
			if err != nil || role.MayPost() {
				return nil, err
			}
			return chat.NotFound("conversation"), nil
		})
	})
}

// refuse decides about submissions that are not to be stored. judge returns the
// refusal of one, nil for none.
func (t *tx) refuse(batch []chat.Submission, judge func(*chat.Submission) (*chat.Error, error)) ([]chat.Outcome, error) {
	now := t.store.now().Truncate(time.Millisecond).UTC()
	earlier := map[store.SendKey]chat.Earlier{}
	for i := range batch {
		key := store.SendKey{Sender: batch[i].Sender, ClientID: batch[i].ClientID}
		var err error
		if earlier[key], err = findEarlier(t.conn, key); err != nil {
			return nil, err
		}
	}
	var failed error
	v, out := storetx.Refuse(batch, earlier, func(s *chat.Submission) *chat.Error {
		refusal, err := judge(s)
		failed = errors.Join(failed, err)
		return refusal
	}, now)
	if failed != nil {
		return nil, failed
	}
	t.wrote = t.wrote || !v.Empty()
	return out, t.saveVerdicts(v, now)
}

// Failures lists what has failed; see the contract. In a first round that is what has
// failed since the round began, with each page.
func (s *Store) Failures(ctx context.Context, user chat.UserID, after store.Position) ([]chat.Failure, error) {
	epoch, _ := s.epoch.Epoch()
	p, err := s.parsePosition(epoch, after)
	if err != nil {
		return nil, err
	}
	return read(ctx, s, "list what has failed", func(c *conn) (out []chat.Failure, err error) {
		err = c.query(`SELECT `+failureColumns+` FROM failures WHERE sender = ? AND change > ? ORDER BY change DESC LIMIT +?`, func(r row) error {
			out = append(out, scanFailure(r))
			return nil
		}, user, p.change, store.MaxFailures)
		slices.Reverse(out)
		return out, err
	})
}
