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

// lookUp looks users up with a short timeout, and returns those that were found,
// those whose result is incomplete, and how long it took.
func lookUp(t *testing.T, p presence.Presence, users []chat.UserID) (found, unknown []chat.UserID, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	begin := time.Now()
	nodes, err := p.NodesOf(ctx, users)
	took = time.Since(begin)
	if len(nodes) != len(users) {
		t.Fatalf("%d users requested, %d answers", len(users), len(nodes))
	}
	for i, is := range presence.Unknown(err, len(users)) {
		if is {
			unknown = append(unknown, users[i])
		}
		if slices.Contains(nodes[i], "a") {
			found = append(found, users[i])
		}
	}
	return found, unknown, took
}

// tooLong is how long a lookup takes that ignores the deadline of its caller: the
// timeout of a call to Redis. That is far more than 250 ms, and leaves time for a
// busy machine.
const tooLong = redisconn.CallTimeout

// When Redis hangs, lookups return at their deadline.
func TestLookupWhileRedisHangs(t *testing.T) {
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
				found, unknown, took := lookUp(t, p, []chat.UserID{1, 2, 1})
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
			eventually.True(t, "the online user is found again", func() bool {
				found, unknown, _ := lookUp(t, p, []chat.UserID{1, 2})
				return slices.Equal(found, []chat.UserID{1}) && len(unknown) == 0
			})
		})
	}
}

// When a shard of a cluster is down or hangs, users of the other shards are found,
// and no user of it is taken for offline. That also holds for the shard that has
// the list of live gateways.
func TestLookupWhileShardIsDown(t *testing.T) {
	f := stacktest.Folder(t)
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
	const total = 60 // the odd ones are online
	var users, online []chat.UserID
	for user := chat.UserID(1); user <= total; user++ {
		users = append(users, user)
		if user%2 == 1 {
			online = append(online, user)
			attach(t, other, user, "a", int64(user))
		}
	}
	whole := func() bool {
		found, unknown, _ := lookUp(t, p, users)
		return slices.Equal(found, online) && len(unknown) == 0
	}
	eventually.True(t, "everybody is found", whole)
	for i, node := range cluster.Nodes {
		for _, c := range []struct {
			what       string
			harm, mend func() error
		}{
			{"hangs", node.Pause, node.Resume},
			{"is down", node.Kill, func() error { return node.Start(t.Context()) }},
		} {
			if err := c.harm(); err != nil {
				t.Fatal(err)
			}
			// On few processors a shard that is up may need more than 250 ms;
			// then the lookup is repeated.
			eventually.Nil(t, "users of the other shards are found", func() error {
				found, unknown, took := lookUp(t, p, users)
				for _, user := range online {
					if is, isUnknown := slices.Contains(found, user), slices.Contains(unknown, user); is == isUnknown {
						t.Fatalf("shard %d %s: %d is found: %v, unknown: %v", i, c.what, user, is, isUnknown)
					}
				}
				if took >= tooLong {
					t.Errorf("shard %d %s: it took %v", i, c.what, took)
				}
				if len(unknown) == 0 || len(unknown) > total*2/3 {
					return fmt.Errorf("shard %d %s: unknown are %v", i, c.what, unknown)
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
