package redispubsub

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

// FuzzReadMessage decodes what any program could send on the channel.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte{kindData, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, itemPush, 1, 2, 1, '{'})
	f.Add([]byte{kindData, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, itemPush, 1, 2, 1, '{', sectionAudiences, 2, 14, 6, 9, 0})
	f.Add([]byte{kindReset, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0})
	f.Add([]byte{kindHeartbeat, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 'a', 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, r, err := readHeader(b)
		if err != nil {
			return
		}
		all, err := readEnvelopes(r, min(h.count, 1000))
		if err != nil {
			return
		}
		for _, e := range all {
			again, err := readEnvelope(varint.NewReader(appendEnvelope(nil, e)))
			if err != nil || len(again.Items) != len(e.Items) {
				t.Fatalf("a decoded envelope cannot be encoded: %v", err)
			}
		}
	})
}
