package syncstate_test
import ("github.com/hikyaku-chat/hikyaku/internal/chat";"github.com/hikyaku-chat/hikyaku/internal/wire")
func conversation(id chat.ConversationID, rev int64) wire.Summary {
	return wire.Summary{Conversation: wire.Conversation{ID: id, Kind: chat.Group, Rev: rev}, Role: chat.Member}
}
