package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// FindByClientID returns what was stored under client ids; see the contract.
func (s *Store) FindByClientID(ctx context.Context, keys []store.SendKey) (map[store.SendKey]chat.Earlier, error) {
	return read(ctx, s, "find messages by client id", func(ctx context.Context, q querier) (map[store.SendKey]chat.Earlier, error) {
		return findByClientID(ctx, q, keys)
	})
}

// Append stores a batch; see the contract.
//
// Nearly every submission is new. So it first treats all as new and relies on
// the unique key of table sends, which costs nothing beyond the insert itself.
// Only after a conflict, everything is rolled back and done again with every
// client id looked up.
//
// Nearly every conversation is as this process has left it, because the partition of
// a conversation has one worker. So it first decides by that (known.go), and only
// when something has changed meanwhile by what it has read and locked.
//
// A conversation that another transaction holds does not keep the others of its
// batch: it is passed over. Only when there is nothing else to decide, and all is
// tried once more, Append stands in line for one of the conversations, so that each has
// its turn however busy it is. It stands in line holding nothing that others wait for.
func (s *Store) Append(ctx context.Context, in []chat.Submission) ([]chat.Outcome, error) {
	if len(in) == 0 {
		return nil, nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var err error
	known, lookUp := true, false
	for range 1 + attempts {
		var out []chat.Outcome
		var missing []int64
		if out, missing, err = s.appendOnce(ctx, in, known, lookUp); err == nil {
			return out, nil
		}
		if errors.Is(err, errAllHeld) {
			return deferAll(len(in)), nil
		}
		if known = false; isOutdated(err) {
			continue
		}
		lookUp = true
		if isMissingPartition(err) {
			s.partitions.forget()
			if err := s.createPartitionsOf(ctx, missing); err != nil {
				return nil, wrap("append messages", err)
			}
			continue
		}
		if state := sqlState(err); state != uniqueViolation && state != serializationFailed && state != deadlockDetected {
			break
		}
	}
	return nil, wrap("append messages", err)
}

// appendOnce tries once, by what is known of the conversations if that suffices.
// months are those of the messages that it tried to store.
func (s *Store) appendOnce(ctx context.Context, in []chat.Submission, known, lookUp bool) (_ []chat.Outcome, months []int64, err error) {
	now := truncateTime(s.now())
	// Outside of the transaction, because it creates a table.
	if err := s.createPartition(ctx, month(now)); err != nil {
		return nil, nil, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Release()
	a := newAppendBatch(ctx, s, conn, in, now)
	if known && !lookUp && a.decideKnown() {
		err = a.saveKnown()
	} else {
		a = newAppendBatch(ctx, s, conn, in, now)
		err = a.run(lookUp)
	}
	if err != nil {
		// A connection that cannot roll back is not used again.
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, e := conn.Exec(rollback, `rollback`); e != nil {
			_ = conn.Conn().Close(rollback)
		}
		return nil, a.rows.month, err
	}
	return a.out, a.rows.month, nil
}

// appendBatch is the state of an Append: one transaction of two round trips. The
// first locks the conversations, the second stores and commits. Where the
// conversations are known, both are one.
type appendBatch struct {
	ctx   context.Context //nolint:containedctx // it lives as long as the call
	store *Store
	conn  *pgxpool.Conn
	cache *memberCache // of the epoch in which the batch began
	in    []chat.Submission
	now   time.Time
	out   []chat.Outcome

	locked   map[chat.ConversationID]*lockedConversation
	held     map[chat.ConversationID]bool   // conversations that another transaction has locked
	earlier  map[store.SendKey]chat.Earlier // what became of client ids that were looked up
	lookedUp bool                           // every client id was
	seen     map[store.SendKey]chat.Earlier // decided in this batch
	rows     insertRows
	verdicts storetx.Verdicts
}

func newAppendBatch(ctx context.Context, s *Store, conn *pgxpool.Conn, in []chat.Submission, now time.Time) *appendBatch {
	return &appendBatch{
		ctx: ctx, store: s, conn: conn, cache: s.members.Load(), in: in, now: now,
		seen: map[store.SendKey]chat.Earlier{}, out: make([]chat.Outcome, len(in)),
	}
}

// lockedConversation is a conversation that the batch has locked, or locks as it
// saves.
type lockedConversation struct {
	conversationRow
	head    chat.Head
	before  chat.Head // as it was read
	members *cachedMembers
	// roles are those of the batch's senders in a large conversation: members
	// may drop them before the batch is decided.
	roles map[chat.UserID]chat.Role
}

// role returns the role of a sender of the batch, "" for a non-member.
func (c *lockedConversation) role(sender chat.UserID) chat.Role {
	if c.members.audience.Large() {
		return c.roles[sender]
	}
	role, _ := c.members.role(sender)
	return role
}

// insertRows are the rows to insert, column by column.
type insertRows struct {
	conversation, seq, month, id, sender, rev, replyTo []int64
	client                                             [][16]byte
	body                                               []string
}

func (a *appendBatch) run(lookUp bool) error {
	if err := a.lockConversations(lookUp); err != nil {
		return err
	}
	if err := a.loadMembers(); err != nil {
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

// errAllHeld means that other transactions hold all conversations of a batch.
var errAllHeld = errors.New("other transactions hold the conversations")

// errHeld is the refusal that says that nothing was decided.
var errHeld = chat.Refuse(chat.CodeUnavailable, "", "another transaction holds the conversation in the database")

func deferAll(n int) []chat.Outcome {
	return slices.Repeat([]chat.Outcome{{Refusal: errHeld}}, n)
}

// lockConversations begins the transaction and locks the conversations in the
// order of their ids, so that two batches do not deadlock.
func (a *appendBatch) lockConversations(lookUp bool) error {
	ids := make([]int64, 0, 16)
	for i := range a.in {
		ids = append(ids, int64(a.in[i].Conversation))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	b := &pgx.Batch{}
	b.Queue(`begin`)
	b.Queue(lockFreeConversations, ids)
	results := a.conn.SendBatch(a.ctx, b)
	defer func() { _ = results.Close() }()
	if _, err := results.Exec(); err != nil {
		return err
	}
	a.locked = make(map[chat.ConversationID]*lockedConversation, len(ids))
	if err := a.readLocked(results.Query()); err != nil {
		return err
	}
	if err := results.Close(); err != nil {
		return err
	}
	if len(a.locked) < len(ids) {
		if err := a.findHeld(ids); err != nil {
			return err
		}
	}
	if lookUp {
		keys := make([]store.SendKey, len(a.in))
		for i := range a.in {
			keys[i] = store.SendKey{Sender: a.in[i].Sender, ClientID: a.in[i].ClientID}
		}
		a.lookedUp = true
		return a.lookUp(keys)
	}
	return nil
}

// The statements that lock conversations: lockFreeConversations those that no
// other transaction has locked, lockHeldConversation one, for which it waits.
var (
	lockFreeConversations = `WITH timeouts AS MATERIALIZED (` + appendTimeouts + `)
		SELECT ` + conversationColumns + ` FROM timeouts, conversations c WHERE c.id = ANY($1) ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED`
	lockHeldConversation = `SELECT ` + conversationColumns + ` FROM conversations c WHERE c.id = $1 FOR NO KEY UPDATE`
)

// readLocked reads the conversations that a statement has locked.
func (a *appendBatch) readLocked(found pgx.Rows, err error) error {
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		c := &lockedConversation{}
		if err := found.Scan(c.fields()...); err != nil {
			return err
		}
		c.conversation()
		c.head = chat.Head{Seq: c.Seq, Rev: c.Rev}
		c.before = c.head
		a.locked[c.ID] = c
	}
	return found.Err()
}

// findHeld finds which conversations of a batch are not locked because other
// transactions hold them. Those that do not exist are not locked, either. When
// there is nothing else to decide, it may wait for one of them, any, so that none
// waits behind one that never gets free. It fails with errAllHeld when nothing can be
// decided.
func (a *appendBatch) findHeld(ids []int64) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return a.locked[chat.ConversationID(id)] != nil })
	rows, err := a.conn.Query(a.ctx, `SELECT id FROM conversations WHERE id = ANY($1)`, ids)
	if err != nil {
		return err
	}
	held, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	if len(a.locked) == 0 && len(held) == len(ids) {
		if slices.ContainsFunc(a.in, func(s chat.Submission) bool { return !s.Retried }) {
			return errAllHeld
		}
		i := rand.IntN(len(held))
		if err := a.readLocked(a.conn.Query(a.ctx, lockHeldConversation, held[i])); err != nil {
			if sqlState(err) == lockNotAvailable {
				return errAllHeld
			}
			return err
		}
		held = slices.Delete(held, i, i+1)
	}
	a.held = make(map[chat.ConversationID]bool, len(held))
	for _, id := range held {
		a.held[chat.ConversationID(id)] = true
	}
	return nil
}

// lookUp finds what became of client ids.
func (a *appendBatch) lookUp(keys []store.SendKey) (err error) {
	found, err := findByClientID(a.ctx, a.conn, keys)
	if a.earlier == nil {
		a.earlier = found
		return err
	}
	for key, m := range found {
		a.earlier[key] = m
	}
	return err
}

// findByClientID returns what became of client ids. A message whose month was
// detached is returned as a tombstone: the send is remembered for ever, its text
// is not.
func findByClientID(ctx context.Context, q querier, keys []store.SendKey) (map[store.SendKey]chat.Earlier, error) {
	clients, senders := make([][16]byte, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		clients[i], senders[i] = key.ClientID, int64(key.Sender)
	}
	rows, err := q.Query(ctx, `WITH found AS MATERIALIZED (SELECT s.* FROM unnest($1::uuid[], $2::bigint[]) AS k (client_id, sender)
			JOIN sends s ON s.client_id = k.client_id AND s.sender = k.sender)
		SELECT s.client_id, s.sender, s.conversation, s.seq, `+messageColumns+`, `+failureColumns+` FROM found s LEFT JOIN LATERAL (
			SELECT * FROM messages m WHERE m.conversation = s.conversation AND m.seq = s.seq AND m.month = s.month) g ON true
		LEFT JOIN failures f ON s.seq = 0 AND f.sender = s.sender AND f.client_id = s.client_id AND f.code <> 'conflict'`, clients, senders)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[store.SendKey]chat.Earlier{}
	for rows.Next() {
		var key store.SendKey
		var client [16]byte
		var conversation chat.ConversationID
		var seq int64
		var r messageRow
		var f failureRow
		if err := rows.Scan(slices.Concat([]any{&client, &key.Sender, &conversation, &seq}, r.fields(), f.fields())...); err != nil {
			return nil, err
		}
		key.ClientID = client
		e := chat.Earlier{Message: r.message(), Failure: f.failure()}
		switch {
		case seq == 0 && e.Failure == nil:
			return nil, errSendWithoutFailure
		case seq > 0 && e.Message == nil:
			at := key.ClientID.Time().UTC()
			e.Message = &chat.Message{Conversation: conversation, Seq: seq, Sender: key.Sender, ClientID: client, At: at, DeletedAt: at}
		}
		out[key] = e
	}
	return out, rows.Err()
}

// loadMembers loads the members of conversations that are not in the cache.
func (a *appendBatch) loadMembers() error {
	var small []int64
	for _, c := range a.locked {
		if c.members = a.cache.get(c.ID, c.MembersRev); c.members == nil && c.Members <= chat.SmallConversation {
			small = append(small, int64(c.ID))
		}
	}
	fresh := map[chat.ConversationID]*cachedMembers{}
	for _, c := range a.locked {
		if c.members == nil {
			c.members = &cachedMembers{
				membersRev: c.MembersRev, roles: map[chat.UserID]chat.Role{},
				audience: chat.Audience{Conversation: c.ID, MembersRev: c.MembersRev},
			}
			if c.Members <= chat.SmallConversation {
				c.members.audience.Members = make([]chat.UserID, 0, c.Members)
			}
			fresh[c.ID] = c.members
		}
	}
	if len(small) > 0 {
		if err := a.queryRoles(func(id chat.ConversationID, user chat.UserID, role chat.Role) {
			r := fresh[id]
			r.roles[user] = role
			r.audience.Members = append(r.audience.Members, user)
		}, `SELECT conversation, account, role FROM members WHERE conversation = ANY($1) AND role <> '' ORDER BY account`, small); err != nil {
			return err
		}
	}
	for id, r := range fresh {
		a.cache.put(id, r)
	}
	return a.loadSenderRoles()
}

// loadSenderRoles loads the roles of senders in large conversations.
func (a *appendBatch) loadSenderRoles() error {
	var ids, users []int64
	loading := map[chat.ConversationID]map[chat.UserID]chat.Role{}
	for i := range a.in {
		c, sender := a.locked[a.in[i].Conversation], a.in[i].Sender
		if c == nil || !c.members.audience.Large() {
			continue
		}
		if c.roles == nil {
			c.roles = map[chat.UserID]chat.Role{}
		}
		if _, twice := c.roles[sender]; twice {
			continue
		}
		role, cached := c.members.role(sender)
		c.roles[sender] = role
		if cached {
			continue
		}
		if loading[c.ID] == nil {
			loading[c.ID] = map[chat.UserID]chat.Role{}
		}
		loading[c.ID][sender] = ""
		ids, users = append(ids, int64(c.ID)), append(users, int64(sender))
	}
	if len(ids) == 0 {
		return nil
	}
	if err := a.queryRoles(func(id chat.ConversationID, user chat.UserID, role chat.Role) {
		a.locked[id].roles[user] = role
		loading[id][user] = role
	}, `SELECT m.conversation, m.account, m.role FROM unnest($1::bigint[], $2::bigint[]) AS k (conversation, account)
		JOIN members m ON m.account = k.account AND m.conversation = k.conversation`, ids, users); err != nil {
		return err
	}
	for id, roles := range loading {
		a.locked[id].members.addRoles(roles)
	}
	return nil
}

func (a *appendBatch) queryRoles(f func(chat.ConversationID, chat.UserID, chat.Role), sql string, args ...any) error {
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

// decide sets the outcome of one submission.
func (a *appendBatch) decide(s *chat.Submission, out *chat.Outcome) error {
	if a.held[s.Conversation] {
		out.Refusal = errHeld
		return nil
	}
	key := store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
	earlier, decided := a.seen[key]
	if !decided {
		earlier = a.earlier[key]
	}
	var head chat.Head
	var role chat.Role
	c := a.locked[s.Conversation]
	if c != nil {
		head = c.head
		role = c.role(s.Sender)
	}
	msg, verdict, err := head.Admit(s, role, earlier, 0, a.now)
	if err != nil && earlier.None() && !a.lookedUp {
		// It would be refused; but a duplicate gets the same answer as the first
		// submission.
		if err := a.lookUp([]store.SendKey{key}); err != nil {
			return err
		}
		earlier = a.earlier[key]
		msg, verdict, err = head.Admit(s, role, earlier, 0, a.now)
	}
	var refusal *chat.Error
	switch {
	case errors.As(err, &refusal):
		a.refuse(s, refusal, earlier, out)
		return nil
	case err != nil:
		return err
	case verdict == chat.Duplicate && c == nil:
		// The conversation was removed with its messages; the client id can
		// remain when its month was detached.
		a.refuse(s, chat.NotFound("conversation"), earlier, out)
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
	c.head = head
	*out = chat.Outcome{Verdict: verdict, Message: msg, Audience: c.members.audience}
	a.seen[key] = a.verdicts.Store(s, earlier, &out.Message)
	a.rows.add(&msg, a.month(c))
	return nil
}

// refuse sets the outcome of a submission that is refused.
func (a *appendBatch) refuse(s *chat.Submission, refusal *chat.Error, earlier chat.Earlier, out *chat.Outcome) {
	out.Refusal = refusal
	a.seen[store.SendKey{Sender: s.Sender, ClientID: s.ClientID}] = a.verdicts.Refuse(s, earlier, refusal, a.now)
}

// month returns the partition of the conversation's next message: never before
// that of its last one, whatever the clocks of the workers say.
func (a *appendBatch) month(c *lockedConversation) int64 { return max(c.month, month(a.now)) }

func (r *insertRows) add(m *chat.Message, month int64) {
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

// answerDuplicates sets the audiences of messages that were stored before.
func (a *appendBatch) answerDuplicates() error {
	for i := range a.out {
		o := &a.out[i]
		if o.Verdict != chat.Duplicate {
			continue
		}
		if c := a.locked[o.Message.Conversation]; c != nil {
			o.Audience = c.members.audience
			continue
		}
		return fmt.Errorf("message %d is a duplicate, and its conversation %d is not locked", o.Message.Seq, o.Message.Conversation)
	}
	return nil
}

// save stores the outcomes and commits, in one round trip.
func (a *appendBatch) save() error { return a.saveBehind(&pgx.Batch{}) }

// saveBehind sends what stores the outcomes, and the commit, behind other statements.
func (a *appendBatch) saveBehind(b *pgx.Batch) error {
	saveVerdicts(b, &a.verdicts, a.now)
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
		for _, c := range a.locked {
			if c.head == c.before {
				continue
			}
			m := a.month(c)
			ids, seqs, revs, months = append(ids, int64(c.ID)), append(seqs, c.head.Seq), append(revs, c.head.Rev), append(months, m)
			if m != c.month {
				spanOf, spanFrom, spanIn = append(spanOf, int64(c.ID)), append(spanFrom, c.before.Seq+1), append(spanIn, m)
			}
		}
		b.Queue(`UPDATE conversations c SET seq = k.seq, rev = k.rev, month = k.month, active_at = $5, change = pg_current_xact_id()
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[]) AS k (id, seq, rev, month) WHERE c.id = k.id`, ids, seqs, revs, months, a.now)
		if len(spanOf) > 0 {
			b.Queue(`INSERT INTO spans (conversation, first_seq, month) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[])`, spanOf, spanFrom, spanIn)
		}
	}
	b.Queue(`commit`)
	if err := a.conn.SendBatch(a.ctx, b).Close(); err != nil {
		return err
	}
	for _, c := range a.locked {
		head := knownHead{Head: c.head, membersRev: c.MembersRev, month: c.month}
		if c.head != c.before {
			head.month = a.month(c)
		}
		a.cache.putHead(c.ID, head)
	}
	return nil
}
