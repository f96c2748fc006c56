package deployments

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// No read on a replica is older than what was committed before it began, even
// when the replica is far behind.
func TestReplicaBehind(t *testing.T) {
	server := stacktest.Postgres(t)
	url := postgrestest.NewDatabase(t)
	replica, err := server.StartReplica(t.Context(), "replica")
	if err != nil {
		t.Fatal(err)
	}
	s := postgrestest.Open(t, postgres.Config{URL: url, Replicas: []string{replica.URL(postgrestest.DatabaseName(url))}})
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	check := func(what string) {
		t.Helper()
		for range 50 {
			want := postgrestest.Send(t, s, c, u, what)
			page, err := s.History(t.Context(), c, u, 1, 1<<31, true, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Messages) != 1 || page.Messages[0].Seq != want.Seq {
				t.Fatalf("%s: message %d was stored, and the newest is %+v", what, want.Seq, page.Messages)
			}
		}
	}
	eventually.True(t, "the replica answers", func() bool { check("fresh"); return s.ReplicaReads() > 0 })
	// Five seconds behind, as a replica under load may be.
	for _, sql := range []string{`ALTER SYSTEM SET recovery_min_apply_delay = '5s'`, `SELECT pg_reload_conf()`} {
		if err := replica.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	check("lagging")
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	check("gone")
}

// One address may stand for several replicas (a load balancer, a connection
// pooler): the position of one of them says nothing about the others.
func TestReplicasBehindOneAddress(t *testing.T) {
	server := stacktest.Postgres(t)
	url := postgrestest.NewDatabase(t)
	var ports []int
	var paused *stack.Postgres
	for _, name := range []string{"paused", "following"} {
		replica, err := server.StartReplica(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, replica.Port())
		if name == "paused" {
			paused = replica
		}
	}
	service := balance(t, ports)
	at := strings.Replace(url, fmt.Sprintf(":%d/", server.Port()), fmt.Sprintf(":%d/", service), 1)
	s := postgrestest.Open(t, postgres.Config{URL: url, Replicas: []string{at}})
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	if err := paused.Exec(t.Context(), "postgres", `SELECT pg_wal_replay_pause()`); err != nil {
		t.Fatal(err)
	}
	fresh := func() {
		t.Helper()
		want := postgrestest.Send(t, s, c, u, "fresh")
		var readers errgroup.Group // at once, so that several connections are used
		for range 16 {
			readers.Go(func() error {
				page, err := s.History(t.Context(), c, u, 1, 1<<31, true, 1)
				if err == nil && (len(page.Messages) != 1 || page.Messages[0].Seq != want.Seq) {
					err = fmt.Errorf("message %d was stored, and the newest is %+v", want.Seq, page.Messages)
				}
				return err
			})
		}
		if err := readers.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "a replica answers", func() bool { fresh(); return s.ReplicaReads() > 0 })
	for range 60 {
		fresh()
	}
}

// balance forwards each connection to the next of some ports, and returns its own
// port.
func balance(t *testing.T, ports []int) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for i := 0; ; i++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", ports[i%len(ports)]))
			if err != nil {
				_ = client.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				go func() {
					_, _ = io.Copy(way[1], way[0])
					_, _ = client.Close(), server.Close()
				}()
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
