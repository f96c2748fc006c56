// Package api is the REST API: everything that is not real-time. It is written
// code first: the OpenAPI document is generated from the operations.
package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/origin"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
)

// Registration says who may create an account.
type Registration string

// The modes of registration.
const (
	Open         Registration = "open"
	ByInvitation Registration = "invitation"
	Closed       Registration = "closed"
)

// Validate returns an error when r is not one of the three.
func (r Registration) Validate() error {
	switch r {
	case Open, ByInvitation, Closed:
		return nil
	}
	return fmt.Errorf("registration: %q is not one of %s, %s, %s", r, Open, ByInvitation, Closed)
}

// Announcer announces changes to users; see package fanout.
type Announcer interface {
	ConversationChanged(ctx context.Context, by chat.UserID, c store.Change)
	MessageEdited(ctx context.Context, e store.Edited)
	MessageDeleted(ctx context.Context, e store.Edited)
	Marked(ctx context.Context, m chat.Membership)
	SessionsEnded(ctx context.Context, user chat.UserID, ids []chat.SessionID)
}

// Throttle slows down password guessing; see package throttle.
type Throttle interface {
	// Try counts an attempt under each key, or returns how long to wait.
	Try(ctx context.Context, keys ...string) (wait time.Duration, err error)
	// Reset resets the counts of the keys.
	Reset(ctx context.Context, keys ...string) error
	// Cancel subtracts one attempt under each key.
	Cancel(ctx context.Context, keys ...string) error
}

// Hasher hashes passwords; see package password.
type Hasher interface {
	Hash(ctx context.Context, password string) (encoded string, err error)
	// HashOfStranger does the same for those who have no account yet.
	HashOfStranger(ctx context.Context, password string) (encoded string, err error)
	Verify(ctx context.Context, encoded, password string) (ok, stale bool, err error)
}

// RegistrationLimiter limits how many accounts the people of a network make.
type RegistrationLimiter interface {
	// Take takes one token of a network, or returns how long to wait.
	Take(ctx context.Context, network string) (wait time.Duration, err error)
}

// Presence returns whether users are online.
type Presence interface {
	States(ctx context.Context, users []chat.UserID) ([]presence.State, error)
}

// Config has the dependencies and settings of the API.
type Config struct {
	Store        store.Store
	Publisher    broker.Publisher
	Presence     Presence
	Announcer    Announcer
	Auth         *auth.Authenticator
	Cursors      *cursor.Sealer
	Hasher       Hasher
	Throttle     Throttle            // of wrong passwords
	Registering  RegistrationLimiter // of new accounts
	SendLimiter  submission.Limiter
	Refuser      *submission.Refuser
	Idempotency  *submission.IdempotencyCache // nil with a broker that confirms only what the store has accepted
	Push         Push                         // nil without notifications
	Registration Registration                 // one of the three
	SetupToken   string                       // who has it makes the first account
	Origins      []string                     // other origins whose pages may use the API with a visitor's cookie
	BasePath     string                       // the path below which browsers find the installation, with a slash at its end; default /
	Version      string
	Logger       *slog.Logger
	Now          func() time.Time // default time.Now
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.BasePath = cmp.Or(c.BasePath, "/")
	return c
}

// Validate returns the first error of a setting.
func (c Config) Validate() error { return c.Registration.Validate() }

// maxBody is the maximum size of a request's body, in bytes.
const maxBody = 64 << 10

// API serves the operations.
type API struct {
	cfg         Config
	huma        huma.API
	log         *slog.Logger
	devices     *auth.KnownDevices
	submissions *submission.Service
}

// New returns the handler of everything below /api, except the WebSocket.
func New(cfg Config) (http.Handler, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	a := newAPI(cfg, mux)
	if err := a.serveDocs(mux); err != nil {
		return nil, err
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, problemOf(chat.NotFound("address in the API")))
	})
	origins, err := origin.New(cfg.Origins, cfg.Logger)
	if err != nil {
		return nil, err
	}
	return uncached(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal := origins.CheckRequest(r); refusal != nil {
			writeProblem(w, problemOf(refusal))
			return
		}
		mux.ServeHTTP(w, r)
	})), nil
}

// OpenAPI returns the OpenAPI document of the API, in JSON.
func OpenAPI() ([]byte, error) {
	return newAPI(Config{Version: "1"}, http.NewServeMux()).openAPI()
}

// newAPI returns an API with every operation registered on mux.
func newAPI(cfg Config, mux *http.ServeMux) *API {
	useProblems()
	hc := huma.DefaultConfig("Hikyaku", "1")
	hc.Info.Description = "The REST API of Hikyaku: everything that is not live. What is live goes over the socket protocol hikyaku.v1."
	hc.OpenAPIPath, hc.DocsPath, hc.SchemasPath = "", "", ""
	hc.CreateHooks = nil // no $schema links in responses
	hc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"cookie": {Type: "apiKey", In: "cookie", Name: auth.CookieName, Description: "what the page uses; with " + auth.AccountHeader + ", the id of the account that it belongs to, a request is refused when another one is logged in"},
		"bearer": {Type: "http", Scheme: "bearer", Description: "what programs use"},
	}
	a := &API{cfg: cfg, huma: humago.New(mux, hc), log: cfg.Logger, devices: auth.NewKnownDevices(cfg.Cursors)}
	a.submissions = submission.New(submission.Config{
		Publisher: cfg.Publisher, SendLimiter: cfg.SendLimiter, Memberships: memberships{cfg.Store}, Refuser: cfg.Refuser,
		Idempotency: cfg.Idempotency,
	})
	a.huma.UseMiddleware(a.authenticate)
	a.registerInstallation()
	a.registerAccounts()
	a.registerSessions()
	a.registerUsers()
	a.registerConversations()
	a.registerMembers()
	a.registerMessages()
	a.registerLinks()
	a.registerInvitations()
	a.registerPush()
	a.registerAdmin()
	a.registerBatches()
	return a
}

// uncached keeps answers, which are for one person, out of every cache.
func uncached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// public marks an operation that needs no session.
var public = []map[string][]string{}

// operation is what distinguishes an operation from the others.
type operation struct {
	id, method, path, tag, summary string
	status                         int   // on success; 200 when 0
	maxBody                        int64 // in bytes; maxBody when 0
	public                         bool
}

// handle registers an operation. Its errors are returned as problems.
func handle[I, O any](a *API, op operation, f func(ctx context.Context, in *I) (*O, error)) {
	security := []map[string][]string{{"cookie": {}}, {"bearer": {}}}
	if op.public {
		security = public
	}
	huma.Register(a.huma, huma.Operation{
		OperationID: op.id, Method: op.method, Path: "/api/v1" + op.path, Tags: []string{op.tag}, Summary: op.summary,
		DefaultStatus: op.status, MaxBodyBytes: cmp.Or(op.maxBody, maxBody), Security: security,
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, a.problemFor(ctx, op.id, err)
		}
		return out, nil
	})
}

type body[T any] struct{ Body T }

type empty struct{}

// items is a page of a list.
type items[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"cursor of the next page; absent on the last"`
}

// Paging has the parameters of a paged list.
type Paging struct {
	Cursor string `query:"cursor" maxLength:"1024" doc:"from the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}
