package gateway

import (
	"cmp"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

// maxMemberChunk is the maximum number of ids in a chunk of a memberList.
const maxMemberChunk = 512

// memberList is the members of a conversation as of one MembersRev. It is
// immutable. The ids are in chunks that lists share, so that a change of a large
// one copies a chunk, not the list.
type memberList struct {
	rev      int64
	chunks   [][]chat.UserID // ascending, within and over chunks; none is empty
	size     int             // ids in chunks
	loadedAt time.Time       // when it, or what it was changed from, was read from the store
}

// newMemberList returns a list of ids, which are in ascending order. It keeps the
// slice.
func newMemberList(rev int64, ids []chat.UserID, loadedAt time.Time) *memberList {
	l := &memberList{rev: rev, size: len(ids), loadedAt: loadedAt}
	if len(ids) <= maxMemberChunk {
		if len(ids) > 0 {
			l.chunks = [][]chat.UserID{ids}
		}
		return l
	}
	l.chunks = slices.Collect(slices.Chunk(ids, maxMemberChunk/2)) // half full: there is room for others
	return l
}

// chunkOf returns the index of the only chunk that may have the user, or the number
// of chunks if none may.
func (l *memberList) chunkOf(user chat.UserID) int {
	i, _ := slices.BinarySearchFunc(l.chunks, user, func(chunk []chat.UserID, user chat.UserID) int {
		return cmp.Compare(chunk[len(chunk)-1], user)
	})
	return i
}

func (l *memberList) has(user chat.UserID) bool {
	if l == nil {
		return false
	}
	i := l.chunkOf(user)
	if i == len(l.chunks) {
		return false
	}
	_, ok := slices.BinarySearch(l.chunks[i], user)
	return ok
}

// audience returns the members as an audience.
func (l *memberList) audience(id chat.ConversationID) chat.Audience {
	a := chat.Audience{Conversation: id, MembersRev: l.rev}
	switch {
	case l.size > chat.SmallConversation:
	case len(l.chunks) == 1:
		a.Members = l.chunks[0]
	default:
		a.Members = slices.Concat(l.chunks...)
	}
	return a
}

// changed returns the list after a change, which it reports false for unless the
// change is the very next one.
func (l *memberList) changed(m *pubsub.Membership) (*memberList, bool) {
	if m.MembersRevBefore != l.rev {
		return nil, false
	}
	out := &memberList{rev: m.MembersRev, chunks: l.chunks, size: l.size, loadedAt: l.loadedAt}
	if len(m.Left)+len(m.Joined) > 0 {
		out.chunks = slices.Clone(l.chunks)
	}
	for _, user := range m.Left {
		out.remove(user)
	}
	for _, user := range m.Joined {
		out.add(user)
	}
	return out, true
}

// add adds a user to a list that is being made: its chunks are shared, the slice of
// them is not.
func (l *memberList) add(user chat.UserID) {
	if len(l.chunks) == 0 {
		l.chunks, l.size = [][]chat.UserID{{user}}, 1
		return
	}
	i := min(l.chunkOf(user), len(l.chunks)-1)
	at, found := slices.BinarySearch(l.chunks[i], user)
	if found {
		return
	}
	l.size++
	chunk := slices.Concat(l.chunks[i][:at], []chat.UserID{user}, l.chunks[i][at:])
	if len(chunk) <= maxMemberChunk {
		l.chunks[i] = chunk
		return
	}
	half := len(chunk) / 2
	l.chunks[i] = chunk[:half]
	l.chunks = slices.Insert(l.chunks, i+1, chunk[half:])
}

// remove removes a user from a list that is being made.
func (l *memberList) remove(user chat.UserID) {
	i := l.chunkOf(user)
	if i == len(l.chunks) {
		return
	}
	at, found := slices.BinarySearch(l.chunks[i], user)
	if !found {
		return
	}
	l.size--
	if len(l.chunks[i]) == 1 {
		l.chunks = slices.Delete(l.chunks, i, i+1)
		return
	}
	l.chunks[i] = slices.Concat(l.chunks[i][:at], l.chunks[i][at+1:])
}
