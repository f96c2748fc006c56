// Package client speaks to Hikyaku the way any program may: the REST API and
// the socket protocol hikyaku.v1, and nothing else. Tests, the load tool and
// the checker stand on it.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Client is one account's way in. Its methods may be called concurrently once
// it is logged in.
type Client struct {
	base  *url.URL
	http  *http.Client
	token string
	me    wire.User
}

// New makes a client of the installation at base, such as
// http://127.0.0.1:8080. It is not logged in.
func New(base string) (*Client, error) {
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	return &Client{base: u, http: &http.Client{Transport: transport}}, nil
}

// transport is shared by all clients of a process, as [http.DefaultTransport]
// is. It keeps more connections than that one's two for the next request: the
// load tool makes thousands of accounts, several at a time, and each connection
// that is not kept blocks a port for a minute.
var transport = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}()

// parseBase reads the address of an installation, or of a gateway.
func parseBase(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not the address of an installation, such as http://127.0.0.1:8080", base)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// WithToken is the same installation under another session's token.
func (c *Client) WithToken(token string) *Client {
	return &Client{base: c.base, http: c.http, token: token}
}

// Token is the session's token, empty before the log-in.
func (c *Client) Token() string { return c.token }

// Me is the account, as of the log-in.
func (c *Client) Me() wire.User { return c.me }

// Problem is a refusal of the REST API (RFC 9457).
type Problem struct {
	Status       int    `json:"status"`
	Code         string `json:"code"`
	Field        string `json:"field"`
	Detail       string `json:"detail"`
	RetryAfterMS int64  `json:"retry_after_ms"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("the server answered %d (%s): %s", p.Status, p.Code, p.Detail)
}

// Do calls the API: path is below /api/v1, in and out are JSON, nil for none.
// A refusal is a *Problem.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+"/api/v1"+path, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 400 {
		p := &Problem{Detail: strings.TrimSpace(string(b))}
		_ = json.Unmarshal(b, p)
		p.Status = resp.StatusCode
		return p
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	return nil
}

type credentials struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Device   string `json:"device,omitempty"`

	Invitation string `json:"invitation,omitempty"`
}

type session struct {
	User  wire.User `json:"user"`
	Token string    `json:"token"`
}

// Register makes an account and logs in. invitation is the token of one, where it is
// needed; for the first account of an installation it is the setup token.
func (c *Client) Register(ctx context.Context, name, password, invitation string) error {
	return c.authenticate(ctx, "/register", credentials{Name: name, Password: password, Invitation: invitation})
}

// Login logs in.
func (c *Client) Login(ctx context.Context, name, password string) error {
	return c.authenticate(ctx, "/login", credentials{Name: name, Password: password})
}

func (c *Client) authenticate(ctx context.Context, path string, in credentials) error {
	in.Device = "program"
	var g session
	if err := c.Do(ctx, http.MethodPost, path, in, &g); err != nil {
		return err
	}
	c.token, c.me = g.Token, g.User
	return nil
}

// CreateDirect finds or creates the direct conversation with a user.
func (c *Client) CreateDirect(ctx context.Context, with chat.UserID) (wire.Summary, error) {
	return c.create(ctx, map[string]any{"kind": chat.Direct, "user": with})
}

// CreateGroup makes a private group.
func (c *Client) CreateGroup(ctx context.Context, title string, members ...chat.UserID) (wire.Summary, error) {
	if members == nil {
		members = []chat.UserID{}
	}
	return c.create(ctx, map[string]any{"kind": chat.Group, "title": title, "members": members})
}

// CreateChannel makes a public channel.
func (c *Client) CreateChannel(ctx context.Context, title string) (wire.Summary, error) {
	return c.create(ctx, map[string]any{"kind": chat.Channel, "title": title})
}

func (c *Client) create(ctx context.Context, in any) (wire.Summary, error) {
	var s wire.Summary
	err := c.Do(ctx, http.MethodPost, "/conversations", in, &s)
	return s, err
}

// Join joins a public channel.
func (c *Client) Join(ctx context.Context, id chat.ConversationID) error {
	return c.Do(ctx, http.MethodPost, "/conversations/"+id.String()+"/join", nil, nil)
}

// Remove removes a user from a conversation.
func (c *Client) Remove(ctx context.Context, id chat.ConversationID, user chat.UserID) error {
	return c.Do(ctx, http.MethodDelete, "/conversations/"+id.String()+"/members/"+user.String(), nil, nil)
}

// Page is a page of history, in ascending seq.
type Page struct {
	Items     []wire.Message `json:"items"`
	HasBefore bool           `json:"has_before"`
	HasAfter  bool           `json:"has_after"`
}

// After is the page of messages after a seq.
func (c *Client) After(ctx context.Context, id chat.ConversationID, seq int64, limit int) (Page, error) {
	q := url.Values{"after": {strconv.FormatInt(seq, 10)}, "limit": {strconv.Itoa(limit)}}
	var p Page
	err := c.Do(ctx, http.MethodGet, "/conversations/"+id.String()+"/messages?"+q.Encode(), nil, &p)
	return p, err
}

// History is every message of a conversation, in ascending seq, read page by
// page.
func (c *Client) History(ctx context.Context, id chat.ConversationID) ([]wire.Message, error) {
	var all []wire.Message
	after := int64(0)
	for {
		p, err := c.After(ctx, id, after, 200)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if len(p.Items) == 0 || !p.HasAfter {
			return all, nil
		}
		after = p.Items[len(p.Items)-1].Seq
	}
}

// NewClientID names a message.
func NewClientID() chat.ClientID { return chat.ClientID(uuid.Must(uuid.NewV7())) }
