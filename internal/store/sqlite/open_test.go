package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/sqlite"
	"github.com/hikyaku-chat/hikyaku/internal/username"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name string, statements ...string) string {
		path := filepath.Join(dir, name)
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	s := openAt(t, newer)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	database("newer.db", `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)`)

	for name, c := range map[string]struct{ path, want string }{
		"missing folder":  {filepath.Join(dir, "none", "a.db"), "its folder exists"},
		"not a folder":    {filepath.Join(file("plain", "x"), "a.db"), "its folder exists"},
		"a folder itself": {dir, dir},
		"not a database":  {file("text.db", strings.Repeat("this is no database. ", 100)), "is not a database"},
		"another program": {database("other.db", `CREATE TABLE songs (id)`), "belongs to another program"},
		"newer":           {newer, "install the newer Hikyaku"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sqlite.Open(t.Context(), config(t, c.path))
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if text := err.Error(); !strings.Contains(text, c.want) || !strings.Contains(text, c.path) || strings.Contains(text, "\n") {
				t.Errorf("the error reads %q", text)
			}
			t.Log(err)
		})
	}
}

func TestOpenReadOnlyFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("the administrator may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), config(t, filepath.Join(dir, "a.db")))
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "can be written to") {
		t.Errorf("got %v", err)
	}
}

// TestOddPaths opens files whose names mean something in a URI.
func TestOddPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "what?.db", "100%.db", "#1.db", "飛脚.db", "a&b=c.db", "file:x.db"} {
		path := filepath.Join(t.TempDir(), name)
		s := openAt(t, path)
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []sqlite.Config{{}, {Path: "x"}, {Path: "x", NewID: func() int64 { return 1 }, ReadConns: -1}} {
		if _, err := sqlite.Open(context.Background(), c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// TestCloseLeavesOneFile: everything is in the database file after Close, so
// that it can be copied.
func TestCloseLeavesOneFile(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "a.db"))
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// Names that an earlier version folded are found as this one folds them.
func TestNamesAreFoldedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.db")
	s := openAt(t, path)
	u, err := s.CreateUser(t.Context(), store.NewUser{Name: "kaho", Skeleton: "kaho", DisplayName: "ﾀﾅｶ Béla"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Channel, Title: "Café", By: u.ID}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`UPDATE users SET display_fold = 'タナカ béla'`,
		`UPDATE conversations SET title_fold = 'café'`,
		`DELETE FROM goose_db_version WHERE version_id >= 7`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	if found, err := s.SearchUsers(t.Context(), "たなか bela", "", 9); err != nil || len(found) != 1 {
		t.Errorf("people: %v, %v", found, err)
	}
	if found, _, err := s.Channels(t.Context(), u.ID, "cafe", "", 0, 9); err != nil || len(found) != 1 {
		t.Errorf("channels: %v, %v", found, err)
	}
}

// Names that an earlier version took for different ones keep their accounts, and no
// further one is made beside them.
func TestSkeletonsAreDerivedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.db")
	s := openAt(t, path)
	newUser := func(name, skeleton string) error {
		_, err := s.CreateUser(t.Context(), store.NewUser{Name: name, Skeleton: skeleton, DisplayName: name}, nil)
		return err
	}
	for _, u := range [][2]string{{"siobhan", "siobhan"}, {"siobhán", "siobhán"}, {"zoë", "zoë"}, {"kaho", "zoe"}} {
		if err := newUser(u[0], u[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `DELETE FROM goose_db_version WHERE version_id = 8`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	for _, name := range []string{"siobhán", "zoë"} {
		if _, _, err := s.Credentials(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"siobhàn", "zoé", "zoe", "kahó"} {
		if err := newUser(name, username.Skeleton(name)); chat.CodeOf(err) != chat.CodeNameTaken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
