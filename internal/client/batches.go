package client

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Batch is a group of throw-away accounts that are made and removed together.
// All that is done with batches takes an administrator's session.
type Batch struct {
	Name      string      `json:"name"`
	Accounts  int         `json:"accounts"`
	CreatedAt wire.Millis `json:"created_at"`
	Removing  bool        `json:"removing"`
}

// BatchRoom is a conversation to be made between accounts of a batch. The first
// member makes it.
type BatchRoom struct {
	Kind    chat.Kind     `json:"kind"`
	Title   string        `json:"title,omitempty"`
	Members []chat.UserID `json:"members"`
}

// BatchRemoval is what was removed of a batch.
type BatchRemoval struct {
	Done          bool `json:"done"`
	Accounts      int  `json:"accounts"`
	Conversations int  `json:"conversations"`
	Messages      int  `json:"messages"`
}

// Batches lists them.
func (c *Client) Batches(ctx context.Context) ([]Batch, error) {
	var out struct {
		Items []Batch `json:"items"`
	}
	err := c.Do(ctx, http.MethodGet, "/admin/batches", nil, &out)
	return out.Items, err
}

// AddBatchUsers makes accounts of a batch, in requests of chat.MaxBatchUsers,
// and gives a client that is logged in for each. They share c's connections.
func (c *Client) AddBatchUsers(ctx context.Context, batch string, names []string) ([]*Client, error) {
	out := make([]*Client, 0, len(names))
	for len(names) > 0 {
		n := min(len(names), chat.MaxBatchUsers)
		users := make([]newAccount, n)
		for i, name := range names[:n] {
			users[i] = newAccount{name}
		}
		var made struct {
			Items []session `json:"items"`
		}
		if err := c.Do(ctx, http.MethodPost, batchPath(batch)+"/users", map[string]any{"users": users}, &made); err != nil {
			return nil, err
		}
		if len(made.Items) != n {
			return nil, fmt.Errorf("the server made %d accounts instead of %d", len(made.Items), n)
		}
		for _, g := range made.Items {
			as := c.WithToken(g.Token)
			as.me = g.User
			out = append(out, as)
		}
		names = names[n:]
	}
	return out, nil
}

type newAccount struct {
	Name string `json:"name"`
}

func batchPath(batch string) string { return "/admin/batches/" + batch }

const (
	// roomsAtOnce and membersAtOnce bound a request for conversations: a
	// server answers it in a second or so.
	roomsPerRequest = 500
	membersAtOnce   = 10_000
)

// AddBatchRooms makes conversations between accounts of a batch, in as many
// requests as it takes.
func (c *Client) AddBatchRooms(ctx context.Context, batch string, rooms []BatchRoom) ([]wire.Conversation, error) {
	out := make([]wire.Conversation, 0, len(rooms))
	for len(rooms) > 0 {
		n, members := 0, 0
		for n < len(rooms) && n < roomsPerRequest && (n == 0 || members+len(rooms[n].Members) <= membersAtOnce) {
			members += len(rooms[n].Members)
			n++
		}
		var made struct {
			Items []wire.Conversation `json:"items"`
		}
		if err := c.Do(ctx, http.MethodPost, batchPath(batch)+"/conversations", map[string]any{"conversations": rooms[:n]}, &made); err != nil {
			return nil, err
		}
		if len(made.Items) != n {
			return nil, fmt.Errorf("the server made %d conversations instead of %d", len(made.Items), n)
		}
		out = append(out, made.Items...)
		rooms = rooms[n:]
	}
	return out, nil
}

// RemoveBatch removes a batch, request by request. After each it calls
// progress, which may be nil, with what was removed so far.
func (c *Client) RemoveBatch(ctx context.Context, batch string, progress func(BatchRemoval)) (sum BatchRemoval, err error) {
	for !sum.Done {
		var step BatchRemoval
		if err := c.Do(ctx, http.MethodDelete, batchPath(batch), nil, &step); err != nil {
			return sum, err
		}
		sum.Done = step.Done
		sum.Accounts += step.Accounts
		sum.Conversations += step.Conversations
		sum.Messages += step.Messages
		if progress != nil {
			progress(sum)
		}
	}
	return sum, nil
}

// Empty reports whether the installation has no account yet. The first account
// becomes its administrator.
func (c *Client) Empty(ctx context.Context) (bool, error) {
	var out struct {
		FirstAccount bool `json:"first_account"`
	}
	err := c.Do(ctx, http.MethodGet, "/installation", nil, &out)
	return out.FirstAccount, err
}
