package app_test

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// A device whose heartbeats carry an old cursor is told to sync, and one that has
// everything is not.
func TestDeviceIsChecked(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Gateway.CheckInterval = 100 * time.Millisecond
	url := start(t, cfg).URL()
	behind, whole := acceptance.Join(t, url, "aki"), acceptance.Join(t, url, "ben")
	cursorOf := func(u *acceptance.User) string {
		u.Send(wire.Sync{T: "sync", ID: "list"})
		return acceptance.Await[wire.Synced](u, "synced", nil).Cursor
	}
	old := cursorOf(behind)
	if _, err := behind.CreateGroup(t.Context(), "Notes", whole.Me().ID); err != nil {
		t.Fatal(err)
	}
	whole.Socket.SetCursor(cursorOf(whole))
	for range 4 {
		acceptance.Await[wire.Pong](whole, "pong", nil) // all but the first answer pings with the cursor
	}
	behind.Socket.SetCursor(old)
	acceptance.Await[wire.Resync](behind, "resync", nil)
	acceptance.ExpectNone[wire.Resync](whole, "resync", nil)
}
