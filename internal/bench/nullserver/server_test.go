package nullserver_test

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/nullserver"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/hikyaku"
)

func pairs(users int) target.Plan {
	p := target.Plan{Run: "null", Users: users}
	for i := 0; i < users; i += 2 {
		p.Rooms = append(p.Rooms, []int{i, i + 1})
	}
	return p
}

// The null server keeps what Hikyaku promises, as far as the load tool looks.
func TestEveryMessageIsAccountedFor(t *testing.T) {
	s, err := nullserver.Start(t.Context(), "127.0.0.1:0", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	system, err := hikyaku.New(s.URL(), hikyaku.Options{})
	if err != nil {
		t.Fatal(err)
	}
	users, err := load.Prepare(t.Context(), system, pairs(10), load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	if _, err := users.Connect(t.Context(), load.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := users.RunPhase(t.Context(), load.Phase{Rate: 3000, Duration: time.Second, Drain: time.Minute})
	if err != nil || r.Sent != 3000 || r.Accepted != 3000 || r.Delivered != 6000 || r.Missing != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	v, err := users.Check(t.Context())
	if err != nil || !v.Passed() || v.Accepted != 3000 || v.Delivered != 6000 || v.Unanswered != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}
