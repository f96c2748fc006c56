package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Problem is an error response (problem details, RFC 9457).
type Problem struct {
	Type         string    `json:"type" example:"about:blank"`
	Title        string    `json:"title" doc:"the status in words"`
	Status       int       `json:"status"`
	Detail       string    `json:"detail" doc:"one sentence for people"`
	Code         chat.Code `json:"code" doc:"for programs"`
	Field        string    `json:"field,omitempty" doc:"the value at fault, or what the refusal is about"`
	RetryAfterMS int64     `json:"retry_after_ms,omitempty" doc:"try again after this time"`
}

// TransformSchema implements huma.SchemaTransformer: it names the codes.
func (*Problem) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, code := range slices.Sorted(maps.Keys(statusOf)) {
		s.Properties["code"].Enum = append(s.Properties["code"].Enum, code)
	}
	return s
}

// codeInternal is the code of errors that are not refusals.
const codeInternal chat.Code = "internal"

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.RetryAfterMS > 0 {
		h.Set("Retry-After", strconv.FormatInt((p.RetryAfterMS+999)/1000, 10))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return h
}

var statusOf = map[chat.Code]int{
	chat.CodeInvalid:         http.StatusBadRequest,
	chat.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	chat.CodeNotFound:        http.StatusNotFound,
	chat.CodeForbidden:       http.StatusForbidden,
	chat.CodeConflict:        http.StatusConflict,
	chat.CodeNameTaken:       http.StatusConflict,
	chat.CodeWeakPassword:    http.StatusUnprocessableEntity,
	chat.CodeUnauthenticated: http.StatusUnauthorized,
	chat.CodeOtherAccount:    http.StatusPreconditionFailed,
	chat.CodeOriginRefused:   http.StatusForbidden,
	chat.CodeRateLimited:     http.StatusTooManyRequests,
	chat.CodeOverloaded:      http.StatusServiceUnavailable,
	chat.CodeUnavailable:     http.StatusServiceUnavailable,
	codeInternal:             http.StatusInternalServerError,
}

// codeOf is the code of an error of huma's own, by its status; the others are invalid
// values.
var codeOf = map[int]chat.Code{
	http.StatusUnauthorized:          chat.CodeUnauthenticated,
	http.StatusForbidden:             chat.CodeForbidden,
	http.StatusNotFound:              chat.CodeNotFound,
	http.StatusRequestEntityTooLarge: chat.CodeTooLarge,
	http.StatusTooManyRequests:       chat.CodeRateLimited,
	http.StatusInternalServerError:   codeInternal,
	http.StatusServiceUnavailable:    chat.CodeUnavailable,
}

func newProblem(code chat.Code, field, detail string) *Problem {
	status := statusOf[code]
	p := &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code, Field: field}
	if status == http.StatusServiceUnavailable {
		p.RetryAfterMS = 1000
	}
	return p
}

func problemOf(e *chat.Error) *Problem { return newProblem(e.Code, e.Field, e.Text) }

// rateLimited returns a refusal with the time after which to try again.
func rateLimited(wait time.Duration, field, text string) *Problem {
	p := newProblem(chat.CodeRateLimited, field, text)
	p.RetryAfterMS = max(wait.Milliseconds(), 1)
	return p
}

// problemFor returns what a client may see of an error. It logs internal errors.
func (a *API) problemFor(ctx context.Context, operation string, err error) error {
	var p *Problem
	var refusal *chat.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refusal):
		return problemOf(refusal)
	case errors.Is(err, context.Canceled):
		return newProblem(chat.CodeUnavailable, "", "the request was given up")
	case errors.Is(err, circuitbreaker.ErrNoAnswer): // which is logged once
		return newProblem(chat.CodeUnavailable, "", "the server cannot do this now; try again")
	}
	a.log.ErrorContext(ctx, "a request failed", "operation", operation, "error", err)
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return newProblem(chat.CodeUnavailable, "", "the server cannot do this now; try again")
	}
	return newProblem(codeInternal, "", "something went wrong here; the operator's log has it")
}

// writeProblem writes a problem outside of huma.
func writeProblem(w http.ResponseWriter, p *Problem) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// useProblems makes huma return its own validation errors (a missing field,
// invalid JSON) as problems. The hook is global, so it is set once per process.
var useProblems = sync.OnceFunc(func() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		p := newProblem(cmp.Or(codeOf[status], chat.CodeInvalid), "", msg)
		if len(errs) == 0 || errs[0] == nil {
			return p
		}
		var detail huma.ErrorDetailer
		if !errors.As(errs[0], &detail) {
			p.Detail = errs[0].Error()
			return p
		}
		// The value is not included: it may be a password.
		d := detail.ErrorDetail()
		p.Detail = d.Message
		if _, field, ok := strings.Cut(d.Location, "."); ok {
			p.Field = field
		}
		return p
	}
})
