package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// FindByClientID finds what was stored under names; see the contract.
func (s *Store) FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]*chat.Message, error) {
	return read(ctx, s, "look messages up", func(ctx context.Context, q querier) (map[store.SendKey]*chat.Message, error) {
		return sent(ctx, q, keys)
	})
}

// Append stores a batch; see the contract.
//
// Nearly every submission is new. So it first takes all for new and lets the
// unique key of the sends object while it inserts, which costs nothing more
// than the insert itself. Only when it objects, all is taken back and done once
// more, with every name looked up.
func (s *Store) Append(ctx context.Context, in []chat.Submission) ([]chat.Outcome, error) {
	if len(in) == 0 {
		return nil, nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var err error
	for attempt := range attempts {
		var out []chat.Outcome
		if out, err = s.appendOnce(ctx, in, attempt > 0); err == nil {
			return out, nil
		}
		if state := stateOf(err); state != uniqueViolation && state != serializationFailed && state != deadlockDetected {
			break
		}
	}
	return nil, wrap("append messages", err)
}

func (s *Store) appendOnce(ctx context.Context, in []chat.Submission, lookUp bool) (_ []chat.Outcome, err error) {
	now := stamp(s.now())
	// Outside of the transaction: it makes a table.
	if err := s.makeMonth(ctx, month(now)); err != nil {
		return nil, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	a := &appending{ctx: ctx, store: s, conn: conn, in: in, now: now, seen: map[store.SendKey]*chat.Outcome{}, out: make([]chat.Outcome, len(in))}
	if err := a.run(lookUp); err != nil {
		// A connection that cannot even do this is not used again.
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, e := conn.Exec(rollback, `rollback`); e != nil {
			_ = conn.Conn().Close(rollback)
		}
		return nil, err
	}
	return a.out, nil
}

// appending is a batch on its way, in one transaction of two round trips: one
// that takes the conversations, one that stores and commits.
type appending struct {
	ctx   context.Context //nolint:containedctx // it lives as long as the call
	store *Store
	conn  *pgxpool.Conn
	in    []chat.Submission
	now   time.Time
	out   []chat.Outcome

	held    map[chat.ConversationID]*held
	earlier map[store.SendKey]*chat.Message // what was stored under names that were looked up
	looked  bool                            // all names were
	seen    map[store.SendKey]*chat.Outcome // stored in this batch
	rows    rows
}

// held is a conversation whose lock the batch holds.
type held struct {
	locked
	head    chat.Head
	firstly chat.Head // as it was found
	roster  *roster
	// roles are those of the batch's senders in a large conversation: the
	// roster may forget them before the batch is decided.
	roles map[chat.UserID]chat.Role
}

// role tells what a sender of the batch is, "" for a stranger.
func (h *held) role(sender chat.UserID) chat.Role {
	if h.roster.audience.Large() {
		return h.roles[sender]
	}
	role, _ := h.roster.role(sender)
	return role
}

// rows are what will be inserted, column by column.
type rows struct {
	conversation, seq, month, id, sender, rev, replyTo []int64
	client                                             [][16]byte
	body                                               []string
}

func (a *appending) run(lookUp bool) error {
	if err := a.take(lookUp); err != nil {
		return err
	}
	if err := a.loadRosters(); err != nil {
		return err
	}
	for i := range a.in {
		if err := a.decide(&a.in[i], &a.out[i]); err != nil {
			return err
		}
	}
	if err := a.answerDuplicates(); err != nil {
		return err
	}
	return a.save()
}

// take begins the transaction and takes the conversations, in the order of
// their ids, so that two batches never wait for each other in a ring.
func (a *appending) take(lookUp bool) error {
	ids := make([]int64, 0, 16)
	for i := range a.in {
		ids = append(ids, int64(a.in[i].Conversation))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	b := &pgx.Batch{}
	b.Queue(`begin`)
	b.Queue(`SELECT `+conversationColumns+` FROM conversations c WHERE c.id = ANY($1) ORDER BY c.id FOR NO KEY UPDATE`, ids)
	results := a.conn.SendBatch(a.ctx, b)
	defer func() { _ = results.Close() }()
	if _, err := results.Exec(); err != nil {
		return err
	}
	found, err := results.Query()
	if err != nil {
		return err
	}
	defer found.Close()
	a.held = make(map[chat.ConversationID]*held, len(ids))
	for found.Next() {
		h := &held{}
		if err := found.Scan(h.fields()...); err != nil {
			return err
		}
		h.conversation()
		h.head = chat.Head{Seq: h.Seq, Rev: h.Rev}
		h.firstly = h.head
		a.held[h.ID] = h
	}
	if err := errors.Join(found.Err(), results.Close()); err != nil {
		return err
	}
	if lookUp {
		keys := make([]store.SendKey, len(a.in))
		for i := range a.in {
			keys[i] = store.SendKey{Sender: a.in[i].Sender, ClientID: a.in[i].ClientID}
		}
		a.looked = true
		return a.lookUp(keys)
	}
	return nil
}

// lookUp finds what was stored under names.
func (a *appending) lookUp(keys []store.SendKey) (err error) {
	found, err := sent(a.ctx, a.conn, keys)
	if a.earlier == nil {
		a.earlier = found
		return err
	}
	for key, m := range found {
		a.earlier[key] = m
	}
	return err
}

// sent finds what was stored under names. A message whose month was detached is
// given as a tombstone: that it was sent is known for ever, its text is not.
func sent(ctx context.Context, q querier, keys []store.SendKey) (map[store.SendKey]*chat.Message, error) {
	clients, senders := make([][16]byte, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		clients[i], senders[i] = key.ClientID, int64(key.Sender)
	}
	rows, err := q.Query(ctx, `WITH found AS MATERIALIZED (SELECT s.* FROM unnest($1::uuid[], $2::bigint[]) AS k (client_id, sender)
			JOIN sends s ON s.client_id = k.client_id AND s.sender = k.sender)
		SELECT s.client_id, s.sender, s.conversation, s.seq, `+messageColumns+` FROM found s LEFT JOIN LATERAL (
			SELECT * FROM messages m WHERE m.conversation = s.conversation AND m.seq = s.seq AND m.month = s.month) g ON true`, clients, senders)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[store.SendKey]*chat.Message{}
	for rows.Next() {
		var key store.SendKey
		var client [16]byte
		var conversation chat.ConversationID
		var seq int64
		var r messageRow
		if err := rows.Scan(append([]any{&client, &key.Sender, &conversation, &seq}, r.fields()...)...); err != nil {
			return nil, err
		}
		key.ClientID = client
		m := r.message()
		if m == nil {
			m = &chat.Message{Conversation: conversation, Seq: seq, Sender: key.Sender, ClientID: client, At: key.ClientID.Time().UTC(), DeletedAt: key.ClientID.Time().UTC()}
		}
		out[key] = m
	}
	return out, rows.Err()
}

// loadRosters finds out who is in the conversations, where that is not at hand.
func (a *appending) loadRosters() error {
	var small []int64
	for _, h := range a.held {
		if h.roster = a.store.rosters.get(h.ID, h.MembersRev); h.roster == nil && h.Members <= chat.SmallConversation {
			small = append(small, int64(h.ID))
		}
	}
	fresh := map[chat.ConversationID]*roster{}
	for _, h := range a.held {
		if h.roster == nil {
			h.roster = &roster{
				membersRev: h.MembersRev, roles: map[chat.UserID]chat.Role{},
				audience: chat.Audience{Conversation: h.ID, MembersRev: h.MembersRev},
			}
			if h.Members <= chat.SmallConversation {
				h.roster.audience.Members = make([]chat.UserID, 0, h.Members)
			}
			fresh[h.ID] = h.roster
		}
	}
	if len(small) > 0 {
		if err := a.each(func(id chat.ConversationID, user chat.UserID, role chat.Role) {
			r := fresh[id]
			r.roles[user] = role
			r.audience.Members = append(r.audience.Members, user)
		}, `SELECT conversation, account, role FROM members WHERE conversation = ANY($1) AND role <> '' ORDER BY account`, small); err != nil {
			return err
		}
	}
	for id, r := range fresh {
		a.store.rosters.put(id, r)
	}
	return a.loadSenders()
}

// loadSenders finds out what senders are in large conversations.
func (a *appending) loadSenders() error {
	var ids, users []int64
	asked := map[chat.ConversationID]map[chat.UserID]chat.Role{}
	for i := range a.in {
		h, sender := a.held[a.in[i].Conversation], a.in[i].Sender
		if h == nil || !h.roster.audience.Large() {
			continue
		}
		if h.roles == nil {
			h.roles = map[chat.UserID]chat.Role{}
		}
		if _, twice := h.roles[sender]; twice {
			continue
		}
		role, known := h.roster.role(sender)
		h.roles[sender] = role
		if known {
			continue
		}
		if asked[h.ID] == nil {
			asked[h.ID] = map[chat.UserID]chat.Role{}
		}
		asked[h.ID][sender] = ""
		ids, users = append(ids, int64(h.ID)), append(users, int64(sender))
	}
	if len(ids) == 0 {
		return nil
	}
	if err := a.each(func(id chat.ConversationID, user chat.UserID, role chat.Role) {
		a.held[id].roles[user] = role
		asked[id][user] = role
	}, `SELECT m.conversation, m.account, m.role FROM unnest($1::bigint[], $2::bigint[]) AS k (conversation, account)
		JOIN members m ON m.account = k.account AND m.conversation = k.conversation`, ids, users); err != nil {
		return err
	}
	for id, roles := range asked {
		a.held[id].roster.learn(roles)
	}
	return nil
}

func (a *appending) each(f func(chat.ConversationID, chat.UserID, chat.Role), sql string, args ...any) error {
	rows, err := a.conn.Query(a.ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id chat.ConversationID
		var user chat.UserID
		var role chat.Role
		if err := rows.Scan(&id, &user, &role); err != nil {
			return err
		}
		f(id, user, role)
	}
	return rows.Err()
}

// decide gives one submission its outcome.
func (a *appending) decide(s *chat.Submission, out *chat.Outcome) error {
	key := store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
	earlier := a.earlier[key]
	if o := a.seen[key]; o != nil {
		earlier = &o.Message
	}
	var head chat.Head
	var role chat.Role
	h := a.held[s.Conversation]
	if h != nil {
		head = h.head
		role = h.role(s.Sender)
	}
	msg, verdict, err := head.Admit(s, role, earlier, 0, a.now)
	if err != nil && earlier == nil && !a.looked {
		// It would be refused; but a repetition is answered as the first was.
		if err := a.lookUp([]store.SendKey{key}); err != nil {
			return err
		}
		msg, verdict, err = head.Admit(s, role, a.earlier[key], 0, a.now)
	}
	var refusal *chat.Error
	switch {
	case errors.As(err, &refusal):
		out.Refusal = refusal
		return nil
	case err != nil:
		return err
	case verdict == chat.Duplicate && h == nil:
		// The conversation was removed, and its text with it; what was sent
		// under the name can outlive it in the months that were detached.
		out.Refusal = chat.NotFound("conversation")
		return nil
	case verdict == chat.Duplicate:
		*out = chat.Outcome{Verdict: verdict, Message: msg}
		return nil
	}
	id, err := a.store.ids.next()
	if err != nil {
		return err
	}
	msg.ID = chat.MessageID(id)
	h.head = head
	*out = chat.Outcome{Verdict: verdict, Message: msg, Audience: h.roster.audience}
	a.seen[key] = out
	a.rows.add(&msg, a.month(h))
	return nil
}

// month is where the conversation's next message goes: never before its last
// one, whatever the clocks of the workers say.
func (a *appending) month(h *held) int64 { return max(h.month, month(a.now)) }

func (r *rows) add(m *chat.Message, month int64) {
	r.conversation = append(r.conversation, int64(m.Conversation))
	r.seq = append(r.seq, m.Seq)
	r.month = append(r.month, month)
	r.id = append(r.id, int64(m.ID))
	r.sender = append(r.sender, int64(m.Sender))
	r.rev = append(r.rev, m.Rev)
	r.replyTo = append(r.replyTo, m.ReplyTo)
	r.client = append(r.client, m.ClientID)
	r.body = append(r.body, m.Body)
}

// answerDuplicates finds who may see the messages that were there before; they
// may lie in other conversations than those that the batch holds.
func (a *appending) answerDuplicates() error {
	for i := range a.out {
		o := &a.out[i]
		if o.Verdict != chat.Duplicate {
			continue
		}
		if h := a.held[o.Message.Conversation]; h != nil {
			o.Audience = h.roster.audience
			continue
		}
		return fmt.Errorf("message %d of conversation %d repeats one that is not there", o.Message.Seq, o.Message.Conversation)
	}
	return nil
}

// save stores what was decided and commits, in one round trip.
func (a *appending) save() error {
	b := &pgx.Batch{}
	if r := &a.rows; len(r.seq) > 0 {
		b.Queue(`INSERT INTO sends (client_id, sender, conversation, seq, month)
			SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[])`, r.client, r.sender, r.conversation, r.seq, r.month)
		b.Queue(`INSERT INTO messages (conversation, seq, month, id, sender, client_id, rev, reply_to, at, body)
			SELECT k.conversation, k.seq, k.month, k.id, k.sender, k.client_id, k.rev, k.reply_to, $10, k.body
			FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::bigint[], $6::uuid[], $7::bigint[], $8::bigint[], $9::text[])
				AS k (conversation, seq, month, id, sender, client_id, rev, reply_to, body)`,
			r.conversation, r.seq, r.month, r.id, r.sender, r.client, r.rev, r.replyTo, r.body, a.now)
		var ids, seqs, revs, months []int64
		var spanOf, spanFrom, spanIn []int64
		for _, h := range a.held {
			if h.head == h.firstly {
				continue
			}
			m := a.month(h)
			ids, seqs, revs, months = append(ids, int64(h.ID)), append(seqs, h.head.Seq), append(revs, h.head.Rev), append(months, m)
			if m != h.month {
				spanOf, spanFrom, spanIn = append(spanOf, int64(h.ID)), append(spanFrom, h.firstly.Seq+1), append(spanIn, m)
			}
		}
		b.Queue(`UPDATE conversations c SET seq = k.seq, rev = k.rev, month = k.month, active_at = $5, change = pg_current_xact_id()
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[]) AS k (id, seq, rev, month) WHERE c.id = k.id`, ids, seqs, revs, months, a.now)
		if len(spanOf) > 0 {
			b.Queue(`INSERT INTO spans (conversation, first_seq, month) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[])`, spanOf, spanFrom, spanIn)
		}
	}
	b.Queue(`commit`)
	return a.conn.SendBatch(a.ctx, b).Close()
}
