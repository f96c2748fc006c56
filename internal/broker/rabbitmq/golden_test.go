package rabbitmq

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// Messages in queues may have been written by an older version and be read by a
// newer one: the encoding must not change.
func TestEncodings(t *testing.T) {
	at := time.UnixMilli(1_764_475_200_123).UTC()
	submissions := []chat.Submission{
		{Sender: 1, Conversation: 300, ReplyTo: -1, ReceivedAt: at, ClientID: chat.ClientID{0: 1, 15: 0xff}, Body: "飛脚"},
		{Sender: 1 << 62, Conversation: 127, ReplyTo: 1 << 40, ReceivedAt: at},
	}
	jobs := []notifyqueue.Job{
		{Conversation: 300, Message: 1 << 62, Seq: 7, Sender: 128, At: at, Preview: "飛脚", Users: []chat.UserID{1, 300}},
		{Conversation: 1, Message: 2, Seq: 3, Sender: 4, At: at, Users: []chat.UserID{}},
	}
	b := beginBatch(nil)
	for i := range submissions {
		b = appendSubmission(b, &submissions[i])
	}
	const batch = "0101ac0201f689d7aeda66010000000000000000000000000000ff06e9a39be8849a8080808080808080407f808080808040f689d7aeda660000000000000000000000000000000000"
	if got := hex.EncodeToString(b); got != batch {
		t.Errorf("a batch is\n%s, want\n%s", got, batch)
	}
	if got, err := decodeBatch(b); err != nil || !cmp.Equal(got, submissions) {
		t.Errorf("%v, %v", got, err)
	}
	b = []byte{jobBatchVersion}
	for i := range jobs {
		b = appendJob(b, &jobs[i])
	}
	const push = "01ac02808080808080808040078001f689d7aeda6606e9a39be8849a0201ac0201020304f689d7aeda660000"
	if got := hex.EncodeToString(b); got != push {
		t.Errorf("jobs are\n%s, want\n%s", got, push)
	}
	if got, err := decodeJobs(b); err != nil || !cmp.Equal(got, jobs) {
		t.Errorf("%v, %v", got, err)
	}
}

func BenchmarkDecodeBatch(b *testing.B) {
	s := chat.Submission{Sender: 1 << 50, Conversation: 1 << 50, ReplyTo: 5, ReceivedAt: time.UnixMilli(1_764_475_200_123), Body: "a text of the usual length, which is not long"}
	batch := beginBatch(nil)
	for range 100 {
		batch = appendSubmission(batch, &s)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeBatch(batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeJobs(b *testing.B) {
	j := notifyqueue.Job{Conversation: 1 << 50, Message: 2, Seq: 3, Sender: 4, Preview: "text", At: time.UnixMilli(5), Users: []chat.UserID{6, 7}}
	batch := []byte{jobBatchVersion}
	for range 100 {
		batch = appendJob(batch, &j)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeJobs(batch); err != nil {
			b.Fatal(err)
		}
	}
}
