package api

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// TestAroundGrowing has messages stored between the two reads of a page: it has
// no hole, it is of the earlier rev, and it knows whether more follows.
func TestAroundGrowing(t *testing.T) {
	for _, test := range []struct {
		grown             int64 // the last seq at the second read; 3 at the first
		around            int64
		limit             int
		first, last, head int64
	}{
		{grown: 3, around: 2, limit: 2, first: 1, last: 3, head: 3},
		{grown: 9, around: 2, limit: 4, first: 1, last: 4, head: 9},
		{grown: 9, around: 6, limit: 10, first: 1, last: 9, head: 9},
		{grown: 4, around: 9, limit: 10, first: 1, last: 4, head: 4},
	} {
		head := int64(3)
		get := func(from, to int64, backward bool, limit int) (store.HistoryPage, error) {
			out := store.HistoryPage{Head: chat.Head{Seq: head, Rev: head + 1}}
			first, last := from, min(to, head)
			if backward {
				first = max(first, last-int64(limit)+1)
			}
			for seq := first; seq <= last && len(out.Messages) < limit; seq++ {
				out.Messages = append(out.Messages, chat.Message{Seq: seq})
			}
			head = test.grown
			return out, nil
		}
		page, err := around(get, test.around, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range page.Messages {
			if m.Seq != test.first+int64(i) {
				t.Errorf("%+v: seq %d at %d", test, m.Seq, i)
			}
		}
		if n := len(page.Messages); int64(n) != test.last-test.first+1 || page.Head != (chat.Head{Seq: test.head, Rev: 4}) {
			t.Errorf("%+v: %d messages, head %+v", test, n, page.Head)
		}
	}
}
