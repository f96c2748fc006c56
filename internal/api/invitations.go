package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Invitation lets its holder register, or join a conversation (a link).
type Invitation struct {
	ID        string      `json:"id"`
	CreatedBy chat.UserID `json:"created_by"`
	CreatedAt wire.Millis `json:"created_at"`
	ExpiresAt wire.Millis `json:"expires_at"`
	MaxUses   int         `json:"max_uses,omitempty" doc:"0 for any number"`
	Uses      int         `json:"uses"`
	Token     string      `json:"token,omitempty" doc:"told once, when it is made"`
	URL       string      `json:"url,omitempty" doc:"where the page takes the token, below the installation's address"`
}

type newInvitation struct {
	ExpiresInS int64 `json:"expires_in_s,omitempty" minimum:"60" maximum:"2592000" default:"604800" doc:"seconds, a minute to 30 days"`
	MaxUses    int   `json:"max_uses,omitempty" minimum:"0" maximum:"10000"`
}

func (a *API) invitationOf(i store.Invitation) Invitation {
	return Invitation{
		ID: strconv.FormatInt(i.ID, 10), CreatedBy: i.CreatedBy, CreatedAt: wire.MillisOf(i.CreatedAt),
		ExpiresAt: wire.MillisOf(i.ExpiresAt), MaxUses: i.MaxUses, Uses: i.Uses,
	}
}

// makeInvitation returns an invitation and its token.
func (a *API) makeInvitation(ctx context.Context, n newInvitation) (i store.Invitation, token string) {
	token, hash := auth.NewToken()
	now := a.cfg.Now()
	seconds := n.ExpiresInS
	if seconds == 0 {
		seconds = 7 * 24 * 3600
	}
	return store.Invitation{Token: hash, CreatedBy: callerID(ctx), CreatedAt: now, ExpiresAt: now.Add(time.Duration(seconds) * time.Second), MaxUses: n.MaxUses}, token
}

// LinkTarget is the conversation that a link leads to.
type LinkTarget struct {
	Conversation wire.Conversation `json:"conversation"`
}

// LinkPreview is what a link tells of where it leads before anybody has logged in:
// to hold the link is all that it takes to see it.
type LinkPreview struct {
	Installation string `json:"installation" doc:"the name of the installation"`
	Title        string `json:"title" doc:"the title of the conversation"`
}

type tokenInput struct {
	Token string `path:"token" maxLength:"200"`
}

func (a *API) registerLinks() {
	const tag = "Links"
	handle(a, operation{id: "list-links", method: http.MethodGet, path: "/conversations/{id}/links", tag: tag, summary: "Links to a conversation that can be used"},
		func(ctx context.Context, in *ConversationInput) (*body[items[Invitation]], error) {
			links, err := a.cfg.Store.LinksOf(ctx, in.ID.v, callerID(ctx), a.cfg.Now())
			if err != nil {
				return nil, err
			}
			out := &body[items[Invitation]]{items[Invitation]{Items: []Invitation{}}}
			for _, l := range links {
				out.Body.Items = append(out.Body.Items, a.invitationOf(l.Invitation))
			}
			return out, nil
		})
	handle(a, operation{id: "create-link", method: http.MethodPost, path: "/conversations/{id}/links", tag: tag, summary: "Make a link that lets its holders join", status: http.StatusCreated},
		func(ctx context.Context, in *struct {
			ConversationInput
			Body newInvitation
		},
		) (*body[Invitation], error) {
			i, token := a.makeInvitation(ctx, in.Body)
			l, err := a.cfg.Store.CreateLink(ctx, store.Link{Invitation: i, Conversation: in.ID.v})
			if err != nil {
				return nil, err
			}
			out := a.invitationOf(l.Invitation)
			out.Token, out.URL = token, "/join/"+token
			return &body[Invitation]{out}, nil
		})
	handle(a, operation{id: "delete-link", method: http.MethodDelete, path: "/conversations/{id}/links/{link}", tag: tag, summary: "End a link", status: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			ConversationInput
			Link int64 `path:"link"`
		},
		) (*empty, error) {
			return &empty{}, a.cfg.Store.DeleteLink(ctx, in.ID.v, callerID(ctx), in.Link)
		})
	handle(a, operation{id: "get-link", method: http.MethodGet, path: "/links/{token}", tag: tag, summary: "Where a link leads"},
		func(ctx context.Context, in *tokenInput) (*body[LinkTarget], error) {
			c, err := a.cfg.Store.LinkByToken(ctx, auth.HashToken(in.Token), a.cfg.Now())
			return &body[LinkTarget]{LinkTarget{Conversation: wire.ConversationOf(c)}}, ofToken(err)
		})
	handle(a, operation{id: "preview-link", method: http.MethodGet, path: "/links/{token}/preview", tag: tag, summary: "What may be known of where a link leads without logging in", public: true}, a.previewLink)
	handle(a, operation{id: "join-by-link", method: http.MethodPost, path: "/links/{token}/join", tag: tag, summary: "Join by a link"},
		func(ctx context.Context, in *tokenInput) (*body[wire.Summary], error) {
			c, err := a.cfg.Store.JoinByLink(ctx, auth.HashToken(in.Token), callerID(ctx), a.cfg.Now())
			if err != nil {
				return nil, ofToken(err)
			}
			a.cfg.Announcer.ConversationChanged(ctx, callerID(ctx), c)
			return a.summary(ctx, c.Conversation.ID)
		})
}

// previewLink counts no guesses: nobody guesses a token of 256 random bits, a wrong one
// costs as much as a wrong session's, and a count by address would let one person keep
// everybody of a network from the links that they hold.
func (a *API) previewLink(ctx context.Context, in *tokenInput) (*body[LinkPreview], error) {
	c, err := a.cfg.Store.LinkByToken(ctx, auth.HashToken(in.Token), a.cfg.Now())
	if err != nil {
		return nil, ofToken(err)
	}
	return &body[LinkPreview]{LinkPreview{Installation: installationName, Title: c.Title}}, nil
}

// ofToken says of a link that there is not that it is the token that leads nowhere.
func ofToken(err error) error {
	if chat.CodeOf(err) == chat.CodeNotFound {
		return chat.Refuse(chat.CodeNotFound, "token", "this link is unknown, has expired or is used up")
	}
	return err
}
