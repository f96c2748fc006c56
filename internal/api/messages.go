package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// History is a page of messages, in ascending seq.
type History struct {
	Items     []wire.Message `json:"items" nullable:"false"`
	HasBefore bool           `json:"has_before"`
	HasAfter  bool           `json:"has_after"`
	Rev       int64          `json:"rev" doc:"rev of the conversation that the page is of: it contains every change up to this one"`
}

type historyInput struct {
	ConversationInput
	Before int64 `query:"before" minimum:"0" doc:"the page that ends before this seq"`
	After  int64 `query:"after" minimum:"-1" default:"-1" doc:"the page that begins after this seq; 0 for the beginning"`
	Around int64 `query:"around" minimum:"0" doc:"the page with this seq in the middle"`
	Limit  int   `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// MessageInput has the id of a conversation and the seq of a message.
type MessageInput struct {
	ConversationInput
	Seq int64 `path:"seq" minimum:"1"`
}

// NewMessage is a message to send.
type NewMessage struct {
	ID      string `json:"id" maxLength:"64" format:"uuid" doc:"name of the message, a UUIDv7; sending the same again is harmless"`
	Body    string `json:"body" maxLength:"16384" doc:"Markdown, visible, without control characters besides tab and line breaks"`
	ReplyTo int64  `json:"reply_to,omitempty" minimum:"0" doc:"seq of the message that it answers"`
}

// AcceptedMessage has the client id of an accepted message.
type AcceptedMessage struct {
	ID chat.ClientID `json:"id"`
}

// acceptTimeout limits how long a sender waits.
const acceptTimeout = 15 * time.Second

func (a *API) registerMessages() {
	const tag = "Messages"
	handle(a, operation{id: "get-history", method: http.MethodGet, path: "/conversations/{id}/messages", tag: tag, summary: "Messages; the last page when nothing else is asked for"}, a.history)
	handle(a, operation{id: "send-message", method: http.MethodPost, path: "/conversations/{id}/messages", tag: tag, summary: "Send a message; it is kept when this answers", status: http.StatusAccepted}, a.sendMessage)
	handle(a, operation{id: "edit-message", method: http.MethodPatch, path: "/conversations/{id}/messages/{seq}", tag: tag, summary: "Give one's own message another text"}, a.editMessage)
	handle(a, operation{id: "delete-message", method: http.MethodDelete, path: "/conversations/{id}/messages/{seq}", tag: tag, summary: "Make a message a tombstone"}, a.deleteMessage)
}

func (a *API) history(ctx context.Context, in *historyInput) (*body[History], error) {
	get := func(from, to int64, backward bool, limit int) (store.HistoryPage, error) {
		return a.cfg.Store.History(ctx, in.ID.v, callerID(ctx), from, to, backward, limit)
	}
	var page store.HistoryPage
	var err error
	switch {
	case in.Around > 0:
		page, err = around(get, in.Around, in.Limit)
	case in.After >= 0:
		page, err = get(in.After+1, math.MaxInt64, false, in.Limit)
	case in.Before > 0:
		page, err = get(1, in.Before-1, true, in.Limit)
	default:
		page, err = get(1, math.MaxInt64, true, in.Limit)
	}
	if err != nil {
		return nil, err
	}
	out := History{Items: wire.MessagesOf(page.Messages), Rev: page.Head.Rev}
	if n := len(page.Messages); n > 0 {
		out.HasBefore, out.HasAfter = page.Messages[0].Seq > 1, page.Messages[n-1].Seq < page.Head.Seq
	}
	return &body[History]{out}, nil
}

// around reads the page with seq in the middle in two parts. They may be of two
// states: the page has the rev of the earlier one, up to which both are complete,
// and the last seq of the later one.
func around(get func(from, to int64, backward bool, limit int) (store.HistoryPage, error), seq int64, limit int) (store.HistoryPage, error) {
	page, err := get(1, seq, true, limit/2+1)
	if err != nil {
		return page, err
	}
	next := int64(1) // the conversation may have grown past seq since
	if n := len(page.Messages); n > 0 {
		next = page.Messages[n-1].Seq + 1
	}
	later, err := get(next, math.MaxInt64, false, max(limit-len(page.Messages), 1))
	page.Messages = append(page.Messages, later.Messages...)
	page.Head.Seq = later.Head.Seq
	return page, err
}

func (a *API) sendMessage(ctx context.Context, in *struct {
	ConversationInput
	Body NewMessage
},
) (*body[AcceptedMessage], error) {
	id, err := chat.ParseClientID(in.Body.ID)
	if err != nil {
		return nil, chat.Refuse(chat.CodeInvalid, "id", "%s", err.Error())
	}
	s := chat.Submission{
		Sender: callerID(ctx), Conversation: in.ID.v, ClientID: id, Body: in.Body.Body, ReplyTo: in.Body.ReplyTo, ReceivedAt: a.cfg.Now(),
	}
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	confirmed := make(confirmation, 1)
	if err := a.submissions.Submit(ctx, confirmed, submission.Request{Submission: s}); err != nil {
		var retry *submission.RetryError
		if errors.As(err, &retry) {
			return nil, rateLimited(retry.After, "", retry.Refusal.Text)
		}
		return nil, err
	}
	select {
	case err = <-confirmed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	var refusal *chat.Error
	if err != nil && !errors.As(err, &refusal) {
		return nil, newProblem(chat.CodeUnavailable, "", "it is not known whether the message was kept; send it again under the same id")
	}
	return &body[AcceptedMessage]{AcceptedMessage{ID: id}}, err
}

// confirmation is a request as the source of a submission. The broker's answer
// comes through it.
type confirmation chan error

// Admit implements submission.Source.
func (confirmation) Admit(submission.Request) error { return nil }

// Publish implements submission.Source.
func (c confirmation) Publish(p broker.Publisher, r submission.Request) error {
	return p.Publish(r.Submission, func(err error) { c <- err })
}

// Accepted implements submission.Source.
func (c confirmation) Accepted(submission.Request) { c <- nil }

// memberships asks the store about each sender.
type memberships struct{ store store.Store }

// IsCachedMember implements submission.Memberships.
func (memberships) IsCachedMember(chat.UserID, chat.ConversationID) (member, known bool) {
	return false, false
}

// IsMember implements submission.Memberships.
func (m memberships) IsMember(ctx context.Context, user chat.UserID, conversation chat.ConversationID) (bool, error) {
	_, err := m.store.Conversation(ctx, conversation, user)
	if chat.CodeOf(err) == chat.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

func (a *API) editMessage(ctx context.Context, in *struct {
	MessageInput
	Body struct {
		Body string `json:"body" maxLength:"16384" doc:"Markdown, visible, without control characters besides tab and line breaks"`
	}
},
) (*body[wire.Message], error) {
	e, err := a.cfg.Store.EditMessage(ctx, in.ID.v, in.Seq, callerID(ctx), in.Body.Body)
	if err != nil {
		return nil, err
	}
	a.cfg.Announcer.MessageEdited(ctx, e)
	return &body[wire.Message]{wire.MessageOf(&e.Message)}, nil
}

func (a *API) deleteMessage(ctx context.Context, in *MessageInput) (*body[wire.Message], error) {
	e, err := a.cfg.Store.DeleteMessage(ctx, in.ID.v, in.Seq, callerID(ctx))
	if err != nil {
		return nil, err
	}
	a.cfg.Announcer.MessageDeleted(ctx, e)
	return &body[wire.Message]{wire.MessageOf(&e.Message)}, nil
}
