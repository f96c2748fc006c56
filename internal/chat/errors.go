package chat

import (
	"errors"
	"fmt"
)

// Code says what kind of refusal an [Error] is. Codes are part of the public
// protocol: programs and the page's translations go by them.
type Code string

// The codes of refusals.
const (
	// CodeInvalid: a value breaks a rule; Field names it.
	CodeInvalid Code = "invalid"
	// CodeTooLarge: a value is over its limit; Field names it.
	CodeTooLarge Code = "too_large"
	// CodeNotFound: it does not exist, or it does and is none of the caller's
	// business. The two are never told apart.
	CodeNotFound Code = "not_found"
	// CodeForbidden: the caller sees it but may not do this.
	CodeForbidden Code = "forbidden"
	// CodeConflict: the name of this message is taken by another text.
	CodeConflict Code = "conflict"
	// CodeNameTaken: the name, or one that looks like it, is in use.
	CodeNameTaken Code = "name_taken"
	// CodeUnauthenticated: no valid session, or a wrong name or password.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeRateLimited: too much in too short a time.
	CodeRateLimited Code = "rate_limited"
	// CodeOverloaded: the system cannot keep it now; try again later.
	CodeOverloaded Code = "overloaded"
	// CodeUnavailable: a part that is needed is away; try again later.
	CodeUnavailable Code = "unavailable"
)

// Error is a refusal that may be shown to the person who caused it. Trouble
// that is not the caller's doing is an ordinary error and is never shown.
type Error struct {
	Code  Code
	Field string // the value at fault, empty when it is not one value
	Text  string // one plain English sentence without a full stop
}

// Error is the sentence, with the field when there is one.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Text
	}
	return e.Text
}

// Refuse makes an [Error].
func Refuse(code Code, field, format string, args ...any) *Error {
	return &Error{Code: code, Field: field, Text: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of the refusal in err's chain, or "" when err is nil or
// no refusal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// NotFound is the one answer for what is absent and for what the caller may
// not know of.
func NotFound(what string) *Error { return Refuse(CodeNotFound, "", "there is no such %s", what) }
