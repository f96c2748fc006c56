package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// invitationColumns are the columns of invitationFields; i is the invitation or
// link.
const invitationColumns = `i.id, i.token, i.created_by, i.created_at, i.expires_at, i.max_uses, i.uses`

func invitationFields(i *store.Invitation) []any {
	return []any{&i.ID, &i.Token, &i.CreatedBy, &i.CreatedAt, &i.ExpiresAt, &i.MaxUses, &i.Uses}
}

func invitationInUTC(i store.Invitation) store.Invitation {
	i.CreatedAt, i.ExpiresAt = i.CreatedAt.UTC(), i.ExpiresAt.UTC()
	return i
}

// InsertInvitation stores an invitation.
func (t *tx) InsertInvitation(i store.Invitation) error {
	_, err := t.exec(`INSERT INTO invitations (id, token, created_by, created_at, expires_at, max_uses) VALUES ($1, $2, $3, $4, $5, $6)`,
		i.ID, i.Token, i.CreatedBy, i.CreatedAt, i.ExpiresAt, i.MaxUses)
	return err
}

// LockInvitation finds an invitation by its token's hash, and locks it.
func (t *tx) LockInvitation(token []byte) (i store.Invitation, found bool, err error) {
	found, err = t.queryRow(invitationFields(&i), `SELECT `+invitationColumns+` FROM invitations i WHERE i.token = $1 FOR UPDATE`, token)
	return i, found, err
}

// UseInvitation counts a use of an invitation.
func (t *tx) UseInvitation(id int64) error {
	_, err := t.exec(`UPDATE invitations SET uses = uses + 1 WHERE id = $1`, id)
	return err
}

// DeleteInvitationByID deletes an invitation.
func (t *tx) DeleteInvitationByID(id int64) (bool, error) {
	n, err := t.exec(`DELETE FROM invitations WHERE id = $1`, id)
	return n > 0, err
}

// Invitations lists those that can still be used, newest first.
func (s *Store) Invitations(ctx context.Context, now time.Time) ([]store.Invitation, error) {
	return read(ctx, s, "list invitations", func(ctx context.Context, q querier) ([]store.Invitation, error) {
		rows, err := q.Query(ctx, `SELECT `+invitationColumns+` FROM invitations i WHERE i.expires_at > $1 ORDER BY i.id DESC`, now)
		if err != nil {
			return nil, err
		}
		out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (out store.Invitation, err error) {
			err = row.Scan(invitationFields(&out)...)
			return invitationInUTC(out), err
		})
		return slices.DeleteFunc(out, func(i store.Invitation) bool { return !i.Usable(now) }), err
	})
}

// InsertLink stores a link.
func (t *tx) InsertLink(l store.Link) error {
	_, err := t.exec(`INSERT INTO links (id, conversation, token, created_by, created_at, expires_at, max_uses)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, l.ID, l.Conversation, l.Token, l.CreatedBy, l.CreatedAt, l.ExpiresAt, l.MaxUses)
	return err
}

// DeleteConversationLink deletes a link of a conversation.
func (t *tx) DeleteConversationLink(id chat.ConversationID, link int64) (bool, error) {
	n, err := t.exec(`DELETE FROM links WHERE id = $1 AND conversation = $2`, link, id)
	return n > 0, err
}

// FindLink finds a link by its token's hash.
func (t *tx) FindLink(token []byte) (l store.Link, found bool, err error) {
	found, err = t.queryRow(append(invitationFields(&l.Invitation), &l.Conversation), selectLinkByToken, token)
	return l, found, err
}

// LockLink finds a link and locks it.
func (t *tx) LockLink(token []byte) (l store.Link, found bool, err error) {
	found, err = t.queryRow(append(invitationFields(&l.Invitation), &l.Conversation), selectLinkByToken+` FOR UPDATE`, token)
	return l, found, err
}

// UseLink counts a use of a link.
func (t *tx) UseLink(id int64) error {
	_, err := t.exec(`UPDATE links SET uses = uses + 1 WHERE id = $1`, id)
	return err
}

// LinksOf lists the links that can still be used, newest first.
func (s *Store) LinksOf(ctx context.Context, id chat.ConversationID, by chat.UserID, now time.Time) ([]store.Link, error) {
	return read(ctx, s, "list links", func(ctx context.Context, q querier) ([]store.Link, error) {
		kind, role, err := readerRole(ctx, q, id, by)
		if err != nil {
			return nil, err
		}
		if err := chat.CheckLinks(kind, role); err != nil {
			return nil, err
		}
		rows, err := q.Query(ctx, `SELECT `+invitationColumns+` FROM links i
			WHERE i.conversation = $1 AND i.expires_at > $2 ORDER BY i.id DESC`, id, now)
		if err != nil {
			return nil, err
		}
		out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Link, error) {
			var i store.Invitation
			err := row.Scan(invitationFields(&i)...)
			return store.Link{Invitation: invitationInUTC(i), Conversation: id}, err
		})
		return slices.DeleteFunc(out, func(l store.Link) bool { return !l.Usable(now) }), err
	})
}

const selectLinkByToken = `SELECT ` + invitationColumns + `, i.conversation FROM links i WHERE i.token = $1`

// LinkByToken returns the conversation of a usable link.
func (s *Store) LinkByToken(ctx context.Context, token []byte, now time.Time) (chat.Conversation, error) {
	return read(ctx, s, "read a link", func(ctx context.Context, q querier) (none chat.Conversation, err error) {
		var l store.Link
		found, err := queryRow(ctx, q, append(invitationFields(&l.Invitation), &l.Conversation), selectLinkByToken, token)
		if err := notFound(found && l.Usable(now), err, "link"); err != nil {
			return none, err
		}
		var r conversationRow
		found, err = queryRow(ctx, q, r.fields(), `SELECT `+conversationColumns+` FROM conversations c WHERE c.id = $1`, l.Conversation)
		return r.conversation(), notFound(found, err, "link")
	})
}
