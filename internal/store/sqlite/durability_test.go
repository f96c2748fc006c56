package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/sqlite"
)

// crashEnv makes the test binary run as the process that is killed.
const crashEnv = "HIKYAKU_TEST_CRASH_DB"

const crashRooms = 3

// appendUntilKilled appends from several goroutines and prints each message to
// standard output once its batch is acknowledged.
func appendUntilKilled(path string) {
	ctx := context.Background()
	maker, err := snowflake.NewGenerator(os.Getpid()&snowflake.MaxNode, nil)
	exitOnError(err)
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path, NewID: maker.Next})
	exitOnError(err)
	author, _, err := s.Credentials(ctx, "author")
	exitOnError(err)
	rooms, err := s.Recent(ctx, author.ID, time.Time{}, 0, crashRooms)
	exitOnError(err)
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for {
				batch := make([]chat.Submission, 1+rand.IntN(8))
				for i := range batch {
					batch[i] = chat.Submission{
						Sender: author.ID, Conversation: rooms[rand.IntN(len(rooms))].ID,
						ClientID: randomID(), Body: fmt.Sprintf("from %d", g),
					}
				}
				out, err := s.Append(ctx, batch)
				exitOnError(err)
				var lines []byte
				for _, o := range out {
					lines = fmt.Appendf(lines, "%d %d %s\n", o.Message.Conversation, o.Message.Seq, o.Message.ClientID)
				}
				_, _ = os.Stdout.Write(lines)
			}
		})
	}
	wg.Wait()
}

func exitOnError(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func randomID() (id chat.ClientID) {
	for i := range id {
		id[i] = byte(rand.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// TestKilled kills a process that appends, at random moments, and checks that
// every acknowledged message is there, once and in order (G1).
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hikyaku.db")
	s := openAt(t, path)
	author, err := s.CreateUser(t.Context(), store.NewUser{Name: "author", Skeleton: "author", DisplayName: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range crashRooms {
		if _, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "x", By: author.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{} // "conversation seq client"
	for round := range 8 {
		n := runAndKill(t, path, acknowledged)
		s := openAt(t, path)
		stored := map[string]bool{}
		rooms, err := s.Recent(t.Context(), author.ID, time.Time{}, 0, crashRooms)
		if err != nil || len(rooms) != crashRooms {
			t.Fatal(len(rooms), err)
		}
		for _, room := range rooms {
			all, err := s.History(t.Context(), room.ID, author.ID, 1, room.Seq, false, int(room.Seq))
			if err != nil {
				t.Fatal(err)
			}
			names := map[chat.ClientID]bool{}
			for i, m := range all.Messages {
				if m.Seq != int64(i)+1 {
					t.Fatalf("round %d: message %d has seq %d", round, i+1, m.Seq)
				}
				names[m.ClientID] = true
				stored[fmt.Sprintf("%d %d %s", room.ID, m.Seq, m.ClientID)] = true
			}
			if int64(len(names)) != room.Seq {
				t.Fatalf("round %d: %d names for %d messages", round, len(names), room.Seq)
			}
		}
		for line := range acknowledged {
			if !stored[line] {
				t.Fatalf("round %d: %q was acknowledged and is not there", round, line)
			}
		}
		t.Logf("round %d: %d acknowledged before the kill, %d of %d stored were acknowledged", round, n, len(acknowledged), len(stored))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runAndKill runs the child until a random moment after its first answer and
// adds what it has acknowledged.
func runAndKill(t *testing.T, path string, acknowledged map[string]bool) (lines int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	after := 1 + rand.IntN(3000)
	read := bufio.NewReader(out)
	for {
		line, err := read.ReadString('\n')
		if err != nil { // what was cut off in the middle does not count
			break
		}
		acknowledged[line[:len(line)-1]] = true
		if lines++; lines == after {
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("the child ended by itself: %v", cmd.ProcessState)
	}
	return lines
}
