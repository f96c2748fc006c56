package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/username"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// maxBatchBody is the maximum size of the body of a batch request, in bytes:
	// the limit that proxies in front of the API are configured with.
	maxBatchBody = 1 << 20
	// removalBudget is how long one request removes; its client repeats the
	// request until it is done, so that other requests are served in between.
	removalBudget = time.Second
	// batchDevice is the device name of the sessions of a batch.
	batchDevice = "made in bulk"
)

// BatchInput has the name of a batch.
type BatchInput struct {
	Batch string `path:"batch" maxLength:"200" doc:"1 to 40 lower-case letters, digits and -"`
}

// Batch is a group of accounts that are created and removed together.
type Batch struct {
	Name      string      `json:"name"`
	Accounts  int         `json:"accounts" doc:"how many there are"`
	CreatedAt wire.Millis `json:"created_at"`
	Removing  bool        `json:"removing,omitempty" doc:"its removal has begun and is not at its end"`
}

// BatchRemoval is the result of one removal request.
type BatchRemoval struct {
	Done          bool `json:"done" doc:"false: something is left; ask again"`
	Accounts      int  `json:"accounts" doc:"accounts that are gone since the request before"`
	Conversations int  `json:"conversations" doc:"conversations, likewise"`
	Messages      int  `json:"messages" doc:"messages, likewise"`
}

type newBatchUsers struct {
	BatchInput
	Body struct {
		Users []newBatchUser `json:"users" minItems:"1" maxItems:"1000"`
	}
}

type newBatchUser struct {
	Name        string `json:"name" maxLength:"200"`
	DisplayName string `json:"display_name,omitempty" maxLength:"400" doc:"the name, when there is none"`
}

type newBatchConversations struct {
	BatchInput
	Body struct {
		Conversations []newBatchConversation `json:"conversations" minItems:"1" maxItems:"1000"`
	}
}

type newBatchConversation struct {
	Kind    chat.Kind     `json:"kind" enum:"direct,group,channel"`
	Title   string        `json:"title,omitempty" maxLength:"400"`
	Topic   string        `json:"topic,omitempty" maxLength:"1000"`
	Members []chat.UserID `json:"members" minItems:"1" doc:"accounts of the batch; the first makes the conversation, and owns it"`
}

func (a *API) registerBatches() {
	const tag = "Administration"
	handle(a, operation{id: "list-batches", method: http.MethodGet, path: "/admin/batches", tag: tag, summary: "Batches of throw-away accounts"},
		func(ctx context.Context, _ *empty) (*body[items[Batch]], error) {
			if err := requireAdmin(ctx); err != nil {
				return nil, err
			}
			all, err := a.cfg.Store.Batches(ctx)
			if err != nil {
				return nil, err
			}
			out := &body[items[Batch]]{items[Batch]{Items: []Batch{}}}
			for _, b := range all {
				out.Body.Items = append(out.Body.Items, Batch{Name: b.Name, Accounts: b.Accounts, CreatedAt: wire.MillisOf(b.CreatedAt), Removing: b.Removing})
			}
			return out, nil
		})
	handle(a, operation{
		id: "create-batch-users", method: http.MethodPost, path: "/admin/batches/{batch}/users", tag: tag, maxBody: maxBatchBody,
		summary: "Make throw-away accounts of a batch: all or none, logged in, and without a password", status: http.StatusCreated,
	}, a.createBatchUsers)
	handle(a, operation{
		id: "create-batch-conversations", method: http.MethodPost, path: "/admin/batches/{batch}/conversations", tag: tag, maxBody: maxBatchBody,
		summary: "Make conversations between accounts of a batch, up to 40,000 members in all: all or none", status: http.StatusCreated,
	}, a.createBatchConversations)
	handle(a, operation{
		id: "remove-batch", method: http.MethodDelete, path: "/admin/batches/{batch}", tag: tag,
		summary: "Remove a batch for about a second: its accounts, and the conversations that nobody else has been in; ask again until it is done",
	}, a.removeBatch)
}

func (a *API) createBatchUsers(ctx context.Context, in *newBatchUsers) (*body[items[Grant]], error) {
	if err := requireAdmin(ctx); err != nil {
		return nil, err
	}
	if err := chat.CheckBatchName(in.Batch); err != nil {
		return nil, err
	}
	now := a.cfg.Now()
	users, tokens := make([]store.NewBatchUser, len(in.Body.Users)), make([]string, len(in.Body.Users))
	for i, u := range in.Body.Users {
		name, skeleton, err := username.New(u.Name)
		if err != nil {
			return nil, inItem(err, "users", i)
		}
		if u.DisplayName == "" {
			u.DisplayName = truncateRunes(u.Name, chat.MaxDisplayName)
		}
		display, err := chat.CleanDisplayName(u.DisplayName)
		if err != nil {
			return nil, inItem(err, "users", i)
		}
		var hash []byte
		tokens[i], hash = auth.NewToken()
		users[i] = store.NewBatchUser{
			NewUser: store.NewUser{Name: name, Skeleton: skeleton, DisplayName: display},
			Session: store.Session{Token: hash, Device: batchDevice, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(auth.Lifetime)},
		}
	}
	made, err := a.cfg.Store.CreateBatchUsers(ctx, in.Batch, users)
	if err != nil {
		return nil, err
	}
	out := &body[items[Grant]]{}
	for i, m := range made {
		out.Body.Items = append(out.Body.Items, Grant{User: wire.UserOf(m.User), Session: m.Session, Token: tokens[i]})
	}
	return out, nil
}

// inItem adds the position in a list to the field of a refusal.
func inItem(err error, list string, i int) error {
	var refusal *chat.Error
	if !errors.As(err, &refusal) {
		return err
	}
	return chat.Refuse(refusal.Code, fmt.Sprintf("%s[%d].%s", list, i, refusal.Field), "%s", refusal.Text)
}

func (a *API) createBatchConversations(ctx context.Context, in *newBatchConversations) (*body[items[wire.Conversation]], error) {
	if err := requireAdmin(ctx); err != nil {
		return nil, err
	}
	if err := chat.CheckBatchName(in.Batch); err != nil {
		return nil, err
	}
	members := 0
	list := make([]store.NewConversation, len(in.Body.Conversations))
	for i, c := range in.Body.Conversations {
		list[i] = store.NewConversation{Kind: c.Kind, Title: c.Title, Topic: c.Topic, By: c.Members[0], Members: c.Members[1:]}
		if _, err := list[i].Clean(countDistinct(c.Members)); err != nil {
			return nil, inItem(err, "conversations", i)
		}
		if members += len(c.Members); members > chat.MaxBatchMembers {
			return nil, chat.Refuse(chat.CodeTooLarge, "conversations", "the conversations of one request may have %d members in all", chat.MaxBatchMembers)
		}
	}
	made, err := a.cfg.Store.CreateBatchConversations(ctx, in.Batch, list)
	if err != nil {
		return nil, err
	}
	out := &body[items[wire.Conversation]]{}
	for i, c := range made {
		// Devices find a large conversation with their next check: the
		// list of all its members is too much to send to each of them.
		if !c.Audience.Large() {
			a.cfg.Announcer.ConversationChanged(ctx, list[i].By, c)
		}
		out.Body.Items = append(out.Body.Items, wire.ConversationOf(c.Conversation))
	}
	return out, nil
}

// countDistinct returns the number of different users in a list.
func countDistinct(users []chat.UserID) int {
	return len(slices.Compact(slices.Sorted(slices.Values(users))))
}

func (a *API) removeBatch(ctx context.Context, in *BatchInput) (*body[BatchRemoval], error) {
	if err := requireAdmin(ctx); err != nil {
		return nil, err
	}
	if err := chat.CheckBatchName(in.Batch); err != nil {
		return nil, err
	}
	out := &body[BatchRemoval]{}
	for start := time.Now(); !out.Body.Done && time.Since(start) < removalBudget; {
		step, err := a.cfg.Store.RemoveBatch(ctx, in.Batch)
		if err != nil {
			return nil, err
		}
		for user, ids := range step.Ended {
			a.cfg.Announcer.SessionsEnded(ctx, user, ids)
		}
		for _, p := range step.Departures {
			a.cfg.Announcer.ConversationChanged(ctx, p.User, p.Change)
		}
		out.Body.Done = step.Done
		out.Body.Accounts += step.Accounts
		out.Body.Conversations += step.Conversations
		out.Body.Messages += step.Messages
	}
	return out, nil
}
