package chat

import (
	"errors"
	"fmt"
)

// Code is the kind of an [Error]. Codes are part of the public protocol: programs
// and the page's translations use them.
type Code string

// The codes of refusals.
const (
	// CodeInvalid: a value is invalid; Field names it.
	CodeInvalid Code = "invalid"
	// CodeTooLarge: a value is over its limit; Field names it.
	CodeTooLarge Code = "too_large"
	// CodeNotFound: it does not exist, or the caller may not know that it does.
	// The two are never distinguished.
	CodeNotFound Code = "not_found"
	// CodeForbidden: the caller may see it, but may not do this.
	CodeForbidden Code = "forbidden"
	// CodeConflict: the client id is already used for another message, or the
	// message was deleted.
	CodeConflict Code = "conflict"
	// CodeNameTaken: the name, or one that looks like it, is in use.
	CodeNameTaken Code = "name_taken"
	// CodeWeakPassword: the password is among the first that are guessed.
	CodeWeakPassword Code = "weak_password"
	// CodeUnauthenticated: no valid session, or a wrong name or password.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeOtherAccount: the request is meant for another account than the one that
	// is logged in.
	CodeOtherAccount Code = "other_account"
	// CodeOriginRefused: a page of another address than the server's acts with a
	// visitor's cookie, or its own page behind a proxy that rewrites the address.
	CodeOriginRefused Code = "origin_refused"
	// CodeRateLimited: too many requests in a time.
	CodeRateLimited Code = "rate_limited"
	// CodeOverloaded: the system cannot accept more now; try again later.
	CodeOverloaded Code = "overloaded"
	// CodeUnavailable: a required service is unavailable; try again later.
	CodeUnavailable Code = "unavailable"
)

// Error is a refusal: an error that is caused by the caller and may be shown to
// it. All other errors are internal and are never shown.
type Error struct {
	Code  Code
	Field string // the invalid value, "" when it is not a single value
	Text  string // one plain English sentence without a full stop
}

// Error returns the text, prefixed with the field if there is one.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Text
	}
	return e.Text
}

// Refuse returns an [Error] with a formatted text.
func Refuse(code Code, field, format string, args ...any) *Error {
	return &Error{Code: code, Field: field, Text: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the [Error] in err's chain, or "" when there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// NotFound returns the refusal for what does not exist and for what the caller
// may not know of; it is the same for both.
func NotFound(what string) *Error { return Refuse(CodeNotFound, "", "there is no such %s", what) }
