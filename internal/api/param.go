package api

import (
	"encoding"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// param is an id in a path. huma reads numbers by their kind, before it looks
// for UnmarshalText; a struct around them is read by the latter.
type param[T any, P interface {
	*T
	encoding.TextUnmarshaler
}] struct{ v T }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *param[T, P]) UnmarshalText(text []byte) error { return P(&p.v).UnmarshalText(text) }

type (
	conversationParam = param[chat.ConversationID, *chat.ConversationID]
	userParam         = param[chat.UserID, *chat.UserID]
	sessionParam      = param[chat.SessionID, *chat.SessionID]
)
