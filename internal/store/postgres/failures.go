package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// A failure takes its client id in table sends, as a message does. So of two
// transactions that decide about one submission at the same time, one conflicts,
// and then finds what the other has decided; and that a client id has failed is
// found with no look-up beside the unique key.

// purgeLimit is how many failures that are too old are deleted when others are
// stored: more than are stored on average, so that the table does not grow.
const purgeLimit = 100

const failureColumns = `f.sender, f.client_id, f.digest, f.conversation, f.code, f.field, f.text, f.at`

// failureRow reads a failure, or none: all columns are NULL when an outer join
// found nothing.
type failureRow struct {
	sender, conversation *int64
	client               *[16]byte
	digest               []byte
	code, field, text    *string
	at                   *time.Time
}

func (r *failureRow) fields() []any {
	return []any{&r.sender, &r.client, &r.digest, &r.conversation, &r.code, &r.field, &r.text, &r.at}
}

func (r *failureRow) failure() *chat.Failure {
	if r.sender == nil {
		return nil
	}
	f := &chat.Failure{
		Sender: chat.UserID(*r.sender), ClientID: *r.client, Conversation: chat.ConversationID(*r.conversation),
		Code: chat.Code(*r.code), Field: *r.field, Text: *r.text, At: timeFromNull(r.at),
	}
	copy(f.Digest[:], r.digest)
	return f
}

// saveVerdicts queues the statements that store what was decided: none when
// nothing has failed. They go before those that store messages, because a
// requeued message takes the client id of its failure.
func saveVerdicts(b *pgx.Batch, v *storetx.Verdicts, now time.Time) {
	for _, s := range v.Readmitted {
		digest := s.Digest()
		b.Queue(`DELETE FROM sends WHERE client_id = $1 AND sender = $2 AND seq = 0`, [16]byte(s.ClientID), s.Sender)
		b.Queue(`DELETE FROM failures WHERE client_id = $1 AND sender = $2 AND (code <> 'conflict' OR digest = $3)`, [16]byte(s.ClientID), s.Sender, digest[:])
	}
	if len(v.Failures) == 0 {
		return
	}
	var taking []*chat.Failure
	for _, f := range v.Failures {
		if v.TakesClientID(f) {
			taking = append(taking, f)
		}
	}
	if c := columnsOf(taking); len(taking) > 0 {
		b.Queue(`INSERT INTO sends (client_id, sender, conversation, seq, month)
			SELECT k.client_id, k.sender, k.conversation, 0, 0 FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS k (client_id, sender, conversation)`,
			c.clients, c.senders, c.conversations)
		// The same text may have been a conflict with what was too old and is gone.
		b.Queue(`DELETE FROM failures f USING unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS k (client_id, sender, digest)
			WHERE f.client_id = k.client_id AND f.sender = k.sender AND f.digest = k.digest AND f.code = 'conflict'`,
			c.clients, c.senders, c.digests)
	}
	c := columnsOf(v.Failures)
	b.Queue(`INSERT INTO failures (sender, client_id, digest, conversation, code, field, text, at, change)
		SELECT k.*, $8, pg_current_xact_id() FROM unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::bigint[], $5::text[], $6::text[], $7::text[]) AS k
		ON CONFLICT DO NOTHING`, c.senders, c.clients, c.digests, c.conversations, c.codes, c.fields, c.texts, now)
	b.Queue(`WITH old AS (DELETE FROM failures f USING (SELECT sender, client_id, digest FROM failures WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED) o
			WHERE f.sender = o.sender AND f.client_id = o.client_id AND f.digest = o.digest RETURNING f.sender, f.client_id, f.code)
		DELETE FROM sends s USING old WHERE s.client_id = old.client_id AND s.sender = old.sender AND s.seq = 0 AND old.code <> 'conflict'`,
		now.Add(-store.FailureRetention), purgeLimit)
}

// failureArrays are failures, column by column.
type failureArrays struct {
	senders, conversations []int64
	clients                [][16]byte
	digests                [][]byte
	codes, fields, texts   []string
}

func columnsOf(list []*chat.Failure) (c failureArrays) {
	for _, f := range list {
		c.senders, c.conversations = append(c.senders, int64(f.Sender)), append(c.conversations, int64(f.Conversation))
		c.clients, c.digests = append(c.clients, f.ClientID), append(c.digests, f.Digest[:])
		c.codes, c.fields, c.texts = append(c.codes, string(f.Code)), append(c.fields, f.Field), append(c.texts, f.Text)
	}
	return c
}

// Refuse stores that a submission is refused; see the contract.
func (s *Store) Refuse(ctx context.Context, in chat.Submission, refusal *chat.Error) (chat.Outcome, error) {
	out, err := s.refuse(ctx, "refuse a message", []chat.Submission{in}, func(*tx, []chat.Submission) (func(*chat.Submission) *chat.Error, error) {
		return func(*chat.Submission) *chat.Error { return refusal }, nil
	})
	if err != nil {
		return chat.Outcome{}, err
	}
	return out[0], nil
}

// RefuseNonMembers refuses submissions of non-members; see the contract.
func (s *Store) RefuseNonMembers(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	return s.refuse(ctx, "refuse messages of non-members", batch, func(t *tx, batch []chat.Submission) (func(*chat.Submission) *chat.Error, error) {
		keys := make([]store.MemberKey, len(batch))
		for i := range batch {
			keys[i] = store.MemberKey{Conversation: batch[i].Conversation, User: batch[i].Sender}
		}
		posters, err := t.posters(keys)
		return func(s *chat.Submission) *chat.Error {
			if posters[store.MemberKey{Conversation: s.Conversation, User: s.Sender}] {
				return nil
			}
			return chat.NotFound("conversation")
		}, err
	})
}

// posters returns those of the members who may post.
func (t *tx) posters(keys []store.MemberKey) (map[store.MemberKey]bool, error) {
	var conversations, users []int64
	for _, key := range keys {
		conversations, users = append(conversations, int64(key.Conversation)), append(users, int64(key.User))
	}
	rows, err := t.Query(t.ctx, `SELECT m.conversation, m.account, m.role FROM unnest($1::bigint[], $2::bigint[]) AS k (conversation, account)
		JOIN members m ON m.account = k.account AND m.conversation = k.conversation`, conversations, users)
	if err != nil {
		return nil, err
	}
	out := map[store.MemberKey]bool{}
	var key store.MemberKey
	var role chat.Role
	_, err = pgx.ForEachRow(rows, []any{&key.Conversation, &key.User, &role}, func() error {
		out[key] = role.MayPost()
		return nil
	})
	return out, err
}

// refuse decides about submissions that are not to be stored. judge returns, in
// the transaction, what gives the refusal of one, nil for none.
func (s *Store) refuse(ctx context.Context, what string, batch []chat.Submission,
	judge func(*tx, []chat.Submission) (func(*chat.Submission) *chat.Error, error),
) (out []chat.Outcome, err error) {
	if len(batch) == 0 {
		return nil, nil
	}
	for range attempts {
		if out, err = change(ctx, s, what, func(t *tx) ([]chat.Outcome, error) { return t.refuse(batch, judge) }); sqlState(err) != uniqueViolation {
			break
		}
		// Another transaction has decided at the same time. Its verdict counts.
	}
	return out, err
}

func (t *tx) refuse(batch []chat.Submission, judge func(*tx, []chat.Submission) (func(*chat.Submission) *chat.Error, error)) ([]chat.Outcome, error) {
	keys := make([]store.SendKey, len(batch))
	for i := range batch {
		keys[i] = store.SendKey{Sender: batch[i].Sender, ClientID: batch[i].ClientID}
	}
	// Members before client ids: a message that is stored in between is found.
	refusalOf, err := judge(t, batch)
	if err != nil {
		return nil, err
	}
	earlier, err := findByClientID(t.ctx, t.Tx, keys)
	if err != nil {
		return nil, err
	}
	now := t.now()
	v, out := storetx.Refuse(batch, earlier, refusalOf, now)
	if v.Empty() {
		return out, nil
	}
	b := &pgx.Batch{}
	saveVerdicts(b, v, now)
	return out, t.SendBatch(t.ctx, b).Close()
}

// Failures lists what has failed; see the contract.
//
// A position in the middle of a round has the snapshot of the round's beginning
// as well as the one that the device has seen. What has failed after the latter
// was listed with the round's first page. The last page of a first round begins
// another round, so that in a first round all is listed that has failed since it
// began, with each page.
func (s *Store) Failures(ctx context.Context, user chat.UserID, after store.Position) ([]chat.Failure, error) {
	return read(ctx, s, "list what has failed", func(ctx context.Context, q querier) ([]chat.Failure, error) {
		epoch, _ := s.Epoch()
		p, err := parsePosition(after, epoch, anySnapshot)
		if err != nil || p.base != "" && p.round != "" {
			return nil, err
		}
		var base *string
		if seen := cmp.Or(p.base, p.round); seen != "" {
			base = &seen
		}
		rows, err := q.Query(ctx, `SELECT `+failureColumns+` FROM failures f
			WHERE f.sender = $1 AND ($2::text IS NULL OR (f.change >= pg_snapshot_xmin($2::text::pg_snapshot) AND NOT pg_visible_in_snapshot(f.change, $2::text::pg_snapshot)))
			ORDER BY f.change DESC LIMIT $3`, user, base, store.MaxFailures)
		if err != nil {
			return nil, err
		}
		out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f chat.Failure, err error) {
			var r failureRow
			if err = row.Scan(r.fields()...); err == nil {
				f = *r.failure()
			}
			return f, err
		})
		slices.Reverse(out)
		return out, err
	})
}

var errSendWithoutFailure = errors.New("a client id of a failure has no failure")
