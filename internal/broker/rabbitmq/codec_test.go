package rabbitmq

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) chat.Submission {
			s := chat.Submission{
				Sender:       chat.UserID(rapid.Int64Range(1, 1<<62).Draw(t, "sender")),
				Conversation: chat.ConversationID(rapid.Int64Range(1, 1<<62).Draw(t, "conversation")),
				ReplyTo:      rapid.Int64().Draw(t, "reply"),
				Body:         rapid.String().Draw(t, "body"),
				ReceivedAt:   time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at")).UTC(),
			}
			copy(s.ClientID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
			return s
		}), 1, 20).Draw(t, "batch")
		b := beginBatch(nil)
		for i := range want {
			b = appendSubmission(b, &want[i])
		}
		got, err := decodeBatch(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzDecodeBatch decodes what another program may have written to a queue.
func FuzzDecodeBatch(f *testing.F) {
	s := chat.Submission{Sender: 1, Conversation: 2, Body: "text", ReceivedAt: time.UnixMilli(1)}
	good := appendSubmission(beginBatch(nil), &s)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{batchVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeBatch(b)
		if err != nil {
			return
		}
		again := beginBatch(nil)
		for i := range got {
			if got[i].Sender <= 0 || got[i].Conversation <= 0 {
				t.Errorf("an impossible submission: %+v", got[i])
			}
			again = appendSubmission(again, &got[i])
		}
		twice, err := decodeBatch(again)
		if err != nil || len(twice) != len(got) {
			t.Errorf("what was decoded cannot be encoded: %v", err)
		}
	})
}

func FuzzDecodeJobs(f *testing.F) {
	j := notifyqueue.Job{Conversation: 1, Message: 2, Seq: 3, Sender: 4, Preview: "text", At: time.UnixMilli(5).UTC(), Users: []chat.UserID{6, 7}}
	good := appendJob([]byte{jobBatchVersion}, &j)
	if got, err := decodeJobs(good); err != nil || !reflect.DeepEqual(got, []notifyqueue.Job{j}) {
		f.Fatalf("%+v, %v", got, err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(appendJob(good, &j))
	f.Add([]byte{jobBatchVersion, 1, 1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{jobBatchVersion + 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeJobs(b)
		if err != nil {
			return
		}
		again := []byte{jobBatchVersion}
		for i := range got {
			again = appendJob(again, &got[i])
		}
		twice, err := decodeJobs(again)
		if err != nil || !reflect.DeepEqual(twice, got) {
			t.Errorf("what was decoded cannot be encoded: %v", err)
		}
	})
}
