package api

import (
	"encoding"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// param is an id in a path. huma parses numeric types itself and ignores their
// UnmarshalText; for a struct it uses UnmarshalText.
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
