package redispresence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// locate looks people up as one does who cannot wait, and tells whom it found,
// of whom it knows nothing, and how long it took.
func locate(t *testing.T, p presence.Presence, users []chat.UserID) (found, unknown []chat.UserID, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	begin := time.Now()
	where, err := p.NodesOf(ctx, users)
	took = time.Since(begin)
	if len(where) != len(users) {
		t.Fatalf("%d users asked for, %d answers", len(users), len(where))
	}
	for i, is := range presence.Unknown(err, len(users)) {
		if is {
			unknown = append(unknown, users[i])
		}
		if slices.Contains(where[i], "a") {
			found = append(found, users[i])
		}
	}
	return found, unknown, took
}

// tooLong is what a look takes that does not heed how long its caller can wait:
// then a call is given up. That is far more than 250 ms, and leaves room for a
// machine that is busy with other things.
const tooLong = redisconn.CallTimeout

// A Redis that hangs keeps nobody waiting for longer than they can.
func TestLookingWhileRedisHangs(t *testing.T) {
	server := startServer(t)
	for name, harm := range map[string]func() error{
		"silent": server.Pause,
		"silent to new connections": func() error {
			_, err := server.Do(t.Context(), "CLIENT KILL TYPE normal")
			return errors.Join(err, server.Pause())
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, connect(t, server.URL()), nil)
			attach(t, p, 1, "a", 1)
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				found, unknown, took := locate(t, p, []chat.UserID{1, 2, 1})
				if len(found) != 0 || len(unknown) != 3 {
					t.Errorf("found %v, unknown %v", found, unknown)
				}
				if took >= tooLong {
					t.Errorf("it took %v", took)
				}
			}
			if err := server.Resume(); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "who is here is found again", func() bool {
				found, unknown, _ := locate(t, p, []chat.UserID{1, 2})
				return slices.Equal(found, []chat.UserID{1}) && len(unknown) == 0
			})
		})
	}
}

// When a part of a cluster is away or hangs, people of the others are found, and
// nobody of it is taken for gone. That holds for the part that knows which
// gateways live, too.
func TestLookingWhileAPartIsAway(t *testing.T) {
	stacktest.SkipIfShort(t)
	f, err := stack.NewFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	cluster, err := stack.StartRedisCluster(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range cluster.Nodes {
		if _, err := node.Do(t.Context(), "CONFIG SET cluster-require-full-coverage no"); err != nil {
			t.Fatal(err)
		}
	}
	p, other := open(t, connect(t, cluster.URL()), nil), open(t, connect(t, cluster.URL()), nil)
	const people = 60 // the odd ones are here
	var users, here []chat.UserID
	for user := chat.UserID(1); user <= people; user++ {
		users = append(users, user)
		if user%2 == 1 {
			here = append(here, user)
			attach(t, other, user, "a", int64(user))
		}
	}
	whole := func() bool {
		found, unknown, _ := locate(t, p, users)
		return slices.Equal(found, here) && len(unknown) == 0
	}
	eventually.True(t, "everybody is found", whole)
	for i, node := range cluster.Nodes {
		for _, c := range []struct {
			what       string
			harm, mend func() error
		}{
			{"hangs", node.Pause, node.Resume},
			{"is away", node.Kill, func() error { return node.Start(t.Context()) }},
		} {
			if err := c.harm(); err != nil {
				t.Fatal(err)
			}
			// A part that is there may need more than 250 ms where processors
			// are few, and is asked again.
			eventually.Nil(t, "people of the other parts are found", func() error {
				found, unknown, took := locate(t, p, users)
				for _, user := range here {
					if is, isUnknown := slices.Contains(found, user), slices.Contains(unknown, user); is == isUnknown {
						t.Fatalf("part %d %s: %d is found: %v, unknown: %v", i, c.what, user, is, isUnknown)
					}
				}
				if took >= tooLong {
					t.Errorf("part %d %s: it took %v", i, c.what, took)
				}
				if len(unknown) == 0 || len(unknown) > people*2/3 {
					return fmt.Errorf("part %d %s: unknown are %v", i, c.what, unknown)
				}
				return nil
			})
			if err := c.mend(); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "everybody is found again", whole)
		}
	}
}
