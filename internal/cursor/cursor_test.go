package cursor

import (
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

type pageCursor struct {
	Title string
	ID    int64
}

func TestSealAndOpen(t *testing.T) {
	s := NewSealer([]byte("secret"))
	want := pageCursor{"general", 7}
	sealed := s.Seal("channels", 1, want)
	var got pageCursor
	if err := s.Open("channels", 1, sealed, &got); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	other := NewSealer([]byte("another"))
	for name, err := range map[string]error{
		"another user":         s.Open("channels", 2, sealed, &got),
		"another purpose":      s.Open("users", 1, sealed, &got),
		"another installation": other.Open("channels", 1, sealed, &got),
		"empty":                s.Open("channels", 1, "", &got),
		"cut":                  s.Open("channels", 1, sealed[:len(sealed)-1], &got),
		"not base64":           s.Open("channels", 1, "***", &got),
		"huge":                 s.Open("channels", 1, strings.Repeat("A", 100_000), &got),
	} {
		if chat.CodeOf(err) != chat.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range sealed {
		b := []byte(sealed)
		b[i] ^= 1
		if err := s.Open("channels", 1, string(b), &got); err == nil {
			t.Errorf("byte %d was changed, and it opened", i)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := NewSealer([]byte("secret"))
	f.Add(s.Seal("x", 1, pageCursor{"a", 1}))
	f.Add("")
	f.Fuzz(func(t *testing.T, sealed string) {
		var v pageCursor
		if err := s.Open("x", 1, sealed, &v); err == nil && s.Seal("x", 1, v) != sealed {
			t.Fatalf("%q opened and is not what is sealed", sealed)
		}
	})
}

// A position names every transaction that ran when it was taken.
func TestLongCursor(t *testing.T) {
	s := NewSealer([]byte("secret"))
	want := "100:2000:" + strings.Repeat("12345678,", 2000)
	var got string
	if err := s.Open("sync", 1, s.Seal("sync", 1, want), &got); err != nil || got != want {
		t.Errorf("%d bytes: %v", len(want), err)
	}
}
