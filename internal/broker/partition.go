package broker

import "github.com/hikyaku-chat/hikyaku/internal/chat"

// Partition is the partition, 0 to n-1, that keeps a conversation in order.
// All processes of an installation must agree on n: it is part of the data.
func Partition(id chat.ConversationID, n int) int {
	// Ids made in the same millisecond differ in their low bits only; the
	// finalizer of splitmix64 (Steele, Lea, Flood 2014) spreads them.
	x := uint64(id)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return int(x % uint64(n))
}
