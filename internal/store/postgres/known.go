package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// A batch whose conversations are known need not read them before it decides: it
// decides, and checks as it saves that they are as they were known to be. That is one
// round trip instead of two.

// decideKnown decides a batch by what is known of its conversations. It reports false
// when that does not suffice: a conversation or the role of a sender is not known, or
// something is to be refused or may be a duplicate, about which the database is asked.
// Then the batch cannot be used any more.
func (a *appendBatch) decideKnown() bool {
	a.locked = make(map[chat.ConversationID]*lockedConversation, len(a.in))
	for i := range a.in {
		s := &a.in[i]
		c := a.knownConversation(s.Conversation)
		if c == nil || !c.knowsRole(s.Sender) {
			return false
		}
		if _, again := a.seen[store.SendKey{Sender: s.Sender, ClientID: s.ClientID}]; again {
			return false
		}
		head := c.head
		if _, _, err := head.Admit(s, c.role(s.Sender), chat.Earlier{}, 0, a.now); err != nil {
			return false
		}
		if err := a.decide(s, &a.out[i]); err != nil {
			return false
		}
	}
	return true
}

// knownConversation returns a conversation as the last batch has left it, nil if it is
// not known.
func (a *appendBatch) knownConversation(id chat.ConversationID) *lockedConversation {
	c := a.locked[id]
	if c != nil {
		return c
	}
	head, members, found := a.cache.head(id)
	if !found {
		return nil
	}
	c = &lockedConversation{members: members, head: head.Head, before: head.Head}
	c.ID, c.Seq, c.Rev, c.MembersRev, c.month = id, head.Seq, head.Rev, head.membersRev, head.month
	a.locked[id] = c
	return c
}

// knowsRole reports whether the role of a sender is known, and keeps it.
func (c *lockedConversation) knowsRole(sender chat.UserID) bool {
	role, cached := c.members.role(sender)
	if cached && c.members.audience.Large() {
		if c.roles == nil {
			c.roles = map[chat.UserID]chat.Role{}
		}
		c.roles[sender] = role
	}
	return cached
}

// lockKnown locks conversations that are as they are known to be. Every change shows in
// the rev; where history went back, the rev may be the same again and the rest not. If
// one has changed, is gone, or is held by another transaction, it
// fails, and so does all that is sent behind it, the commit included. SQL has no
// statement that fails with a text, but for a cast of that text; the server's log has
// it, too.
var lockKnown = `WITH timeouts AS MATERIALIZED (` + appendTimeouts + `),
		locked AS MATERIALIZED (SELECT c.id FROM timeouts, unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[]) AS k (id, seq, rev, members_rev, month)
			JOIN conversations c ON c.id = k.id AND c.seq = k.seq AND c.rev = k.rev AND c.members_rev = k.members_rev AND c.month = k.month
			ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED)
	SELECT CASE WHEN count(*) = $6 THEN 0 ELSE ('not an error: ' || $6 - count(*) || ' conversations have changed, and are read again')::integer END FROM locked`

// isOutdated reports whether an error is that of [lockKnown].
func isOutdated(err error) bool { return sqlState(err) == invalidText }

// saveKnown saves what decideKnown has decided, if the conversations are as they were
// known to be.
func (a *appendBatch) saveKnown() error {
	var ids, seqs, revs, membersRevs, months []int64
	for _, c := range a.locked {
		ids, seqs, revs = append(ids, int64(c.ID)), append(seqs, c.before.Seq), append(revs, c.before.Rev)
		membersRevs, months = append(membersRevs, c.MembersRev), append(months, c.month)
	}
	b := &pgx.Batch{}
	b.Queue(`begin`)
	b.Queue(lockKnown, ids, seqs, revs, membersRevs, months, len(ids))
	return a.saveBehind(b)
}
