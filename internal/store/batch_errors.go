package store

import "github.com/hikyaku-chat/hikyaku/internal/chat"

// BeingRemoved returns the refusal of new accounts in a batch that is being
// removed.
func BeingRemoved(batch string) error {
	return chat.Refuse(chat.CodeConflict, "batch", "the batch %s is being removed; take another name, or wait until it is gone", batch)
}

// NameTaken returns the refusal of a batch of accounts because of one name.
func NameTaken(name string) error {
	return chat.Refuse(chat.CodeNameTaken, "users", "the name %s, or one that looks like it, is in use", name)
}

// NotInBatch returns the refusal of a member who is not in the batch, or is
// disabled.
func NotInBatch(user chat.UserID, batch string) error {
	return chat.Refuse(chat.CodeInvalid, "members", "the account %d is not in the batch %s, or is disabled", user, batch)
}
