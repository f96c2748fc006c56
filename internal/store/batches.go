package store

import "github.com/hikyaku-chat/hikyaku/internal/chat"

// BeingRemoved refuses accounts for a batch that is on its way out.
func BeingRemoved(batch string) error {
	return chat.Refuse(chat.CodeConflict, "batch", "the batch %s is being removed; take another name, or wait until it is gone", batch)
}

// NameTaken refuses one of many accounts.
func NameTaken(name string) error {
	return chat.Refuse(chat.CodeNameTaken, "users", "the name %s, or one that looks like it, is in use", name)
}

// NotOfBatch refuses a member of a conversation.
func NotOfBatch(user chat.UserID, batch string) error {
	return chat.Refuse(chat.CodeInvalid, "members", "the account %d is not of the batch %s, or disabled", user, batch)
}
