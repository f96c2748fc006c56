package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

type newConversation struct {
	Kind    chat.Kind     `json:"kind" enum:"direct,group,channel"`
	User    chat.UserID   `json:"user,omitempty" doc:"the other person of a direct conversation"`
	Title   string        `json:"title,omitempty" maxLength:"400"`
	Topic   string        `json:"topic,omitempty" maxLength:"1000"`
	Members []chat.UserID `json:"members,omitempty" maxItems:"100" doc:"people to bring in at once"`
}

type summaryOutput struct {
	Status int
	Body   wire.Summary
}

// ConversationInput has the id of a conversation.
type ConversationInput struct {
	ID conversationParam `path:"id"`
}

// ChannelEntry is a channel in the list of all channels.
type ChannelEntry struct {
	Conversation wire.Conversation `json:"conversation"`
	Member       bool              `json:"member" doc:"whether one is in it"`
}

func (a *API) registerConversations() {
	const tag = "Conversations"
	handle(a, operation{id: "list-conversations", method: http.MethodGet, path: "/conversations", tag: tag, summary: "One's conversations, latest activity first"}, a.listConversations)
	handle(a, operation{id: "create-conversation", method: http.MethodPost, path: "/conversations", tag: tag, summary: "Make a conversation; a direct one that exists is found again (200)", status: http.StatusCreated}, a.createConversation)
	handle(a, operation{id: "get-conversation", method: http.MethodGet, path: "/conversations/{id}", tag: tag, summary: "A conversation"},
		func(ctx context.Context, in *ConversationInput) (*body[wire.Summary], error) {
			return a.summary(ctx, in.ID.v)
		})
	handle(a, operation{id: "update-conversation", method: http.MethodPatch, path: "/conversations/{id}", tag: tag, summary: "Rename"}, a.updateConversation)
	handle(a, operation{id: "find-channels", method: http.MethodGet, path: "/channels", tag: tag, summary: "Find public channels"}, a.findChannels)
}

// summary returns a conversation as the caller sees it.
func (a *API) summary(ctx context.Context, id chat.ConversationID) (*body[wire.Summary], error) {
	s, err := a.cfg.Store.Conversation(ctx, id, callerID(ctx))
	if err != nil {
		return nil, err
	}
	out, err := a.summaries(ctx, []chat.Summary{s})
	if err != nil {
		return nil, err
	}
	return &body[wire.Summary]{out[0]}, nil
}

// summaries returns the JSON form of a page of conversations. It looks up the
// other users of direct conversations.
func (a *API) summaries(ctx context.Context, page []chat.Summary) ([]wire.Summary, error) {
	var ids []chat.UserID
	for i := range page {
		if page[i].Peer != 0 {
			ids = append(ids, page[i].Peer)
		}
	}
	peers := map[chat.UserID]*chat.User{}
	if len(ids) > 0 {
		users, err := a.cfg.Store.Users(ctx, ids)
		if err != nil {
			return nil, err
		}
		for i := range users {
			peers[users[i].ID] = &users[i]
		}
	}
	out := make([]wire.Summary, len(page))
	for i := range page {
		out[i] = wire.SummaryOf(&page[i], peers[page[i].Peer])
	}
	return out, nil
}

// recentCursor is the position after a page of conversations.
type recentCursor struct {
	At wire.Millis         `json:"a"`
	ID chat.ConversationID `json:"i"`
}

func (a *API) listConversations(ctx context.Context, in *struct{ Paging }) (*body[items[wire.Summary]], error) {
	var before recentCursor
	if in.Cursor != "" {
		if err := a.cfg.Cursors.Open("recent", callerID(ctx), in.Cursor, &before); err != nil {
			return nil, err
		}
	}
	page, err := a.cfg.Store.Recent(ctx, callerID(ctx), before.At.Time(), before.ID, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &body[items[wire.Summary]]{}
	if len(page) > in.Limit {
		page = page[:in.Limit]
		last := page[len(page)-1]
		out.Body.Next = a.cfg.Cursors.Seal("recent", callerID(ctx), recentCursor{At: wire.MillisOf(last.ActiveAt), ID: last.ID})
	}
	out.Body.Items, err = a.summaries(ctx, page)
	return out, err
}

func (a *API) createConversation(ctx context.Context, in *body[newConversation]) (*summaryOutput, error) {
	n := store.NewConversation{Kind: in.Body.Kind, By: callerID(ctx), Members: in.Body.Members}
	if n.Kind == chat.Direct {
		if in.Body.User == 0 || in.Body.Title != "" || len(in.Body.Members) > 0 {
			return nil, chat.Refuse(chat.CodeInvalid, "user", "a direct conversation needs the other person, and nothing else")
		}
		n.Members = []chat.UserID{in.Body.User}
	} else {
		var err error
		if n.Title, err = chat.CleanTitle(in.Body.Title); err != nil {
			return nil, err
		}
		if n.Topic, err = chat.CleanTopic(in.Body.Topic); err != nil {
			return nil, err
		}
	}
	c, err := a.cfg.Store.CreateConversation(ctx, n)
	if err != nil {
		return nil, err
	}
	a.cfg.Announcer.ConversationChanged(ctx, callerID(ctx), c)
	s, err := a.summary(ctx, c.Conversation.ID)
	if err != nil {
		return nil, err
	}
	out := &summaryOutput{Status: http.StatusCreated, Body: s.Body}
	if !c.Changed {
		out.Status = http.StatusOK
	}
	return out, nil
}

func (a *API) updateConversation(ctx context.Context, in *struct {
	ConversationInput
	Body struct {
		Title *string `json:"title,omitempty" maxLength:"400"`
		Topic *string `json:"topic,omitempty" maxLength:"1000"`
	}
},
) (*body[wire.Summary], error) {
	title, topic := in.Body.Title, in.Body.Topic
	if title != nil {
		clean, err := chat.CleanTitle(*title)
		if err != nil {
			return nil, err
		}
		title = &clean
	}
	if topic != nil {
		clean, err := chat.CleanTopic(*topic)
		if err != nil {
			return nil, err
		}
		topic = &clean
	}
	c, err := a.cfg.Store.UpdateConversation(ctx, in.ID.v, callerID(ctx), title, topic)
	if err != nil {
		return nil, err
	}
	a.cfg.Announcer.ConversationChanged(ctx, callerID(ctx), c)
	return a.summary(ctx, in.ID.v)
}

// channelCursor is the position after a page of channels.
type channelCursor struct {
	Title string              `json:"t"`
	ID    chat.ConversationID `json:"i"`
}

func (a *API) findChannels(ctx context.Context, in *struct {
	Paging
	Q string `query:"q" maxLength:"200" doc:"part of a title or topic, caseless"`
},
) (*body[items[ChannelEntry]], error) {
	var after channelCursor
	if in.Cursor != "" {
		if err := a.cfg.Cursors.Open("channels", callerID(ctx), in.Cursor, &after); err != nil {
			return nil, err
		}
	}
	channels, member, err := a.cfg.Store.Channels(ctx, callerID(ctx), strings.TrimSpace(in.Q), after.Title, after.ID, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &body[items[ChannelEntry]]{items[ChannelEntry]{Items: []ChannelEntry{}}}
	if len(channels) > in.Limit {
		channels = channels[:in.Limit]
		last := channels[len(channels)-1]
		out.Body.Next = a.cfg.Cursors.Seal("channels", callerID(ctx), channelCursor{Title: last.Title, ID: last.ID})
	}
	for i, c := range channels {
		out.Body.Items = append(out.Body.Items, ChannelEntry{Conversation: wire.ConversationOf(c), Member: member[i]})
	}
	return out, nil
}
