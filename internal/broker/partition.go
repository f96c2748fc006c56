package broker

import "github.com/hikyaku-chat/hikyaku/internal/chat"

// Partition returns the partition of a conversation, 0 to n-1. Submissions of one
// partition are handled in order. All processes of an installation must use the
// same n: it is part of the data.
func Partition(id chat.ConversationID, n int) int {
	// Ids of the same millisecond differ in their low bits only; the finalizer of
	// splitmix64 (Steele, Lea, Flood 2014) spreads them.
	x := uint64(id)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return int(x % uint64(n))
}
