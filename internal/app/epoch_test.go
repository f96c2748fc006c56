package app_test

import (
	"slices"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// An operator begins an epoch beside a running server: whoever is connected is
// asked to connect again, hello tells of the epoch, and a cursor of before is
// answered so that the device begins anew.
func TestNewEpochReachesClients(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	cfg := testConfig(t)
	url := start(t, cfg).URL()
	aki := acceptance.Join(t, url, "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	isID := func(id string) func(wire.Synced) bool { return func(f wire.Synced) bool { return f.ID == id } }
	aki.Send(wire.Sync{T: "sync", ID: "1"})
	cursor := acceptance.Await(aki, "synced", isID("1")).Cursor
	aki.Send(wire.Sync{T: "sync", ID: "2", Cursor: cursor})
	if again := acceptance.Await(aki, "synced", isID("2")); len(again.Conversations) > 0 {
		t.Fatalf("nothing has changed: %+v", again)
	}
	before := aki.Socket.Hello.Epoch

	op, err := app.OpenOperator(t.Context(), "", cfg.Data, false, cfg.Logger)
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := op.NewEpoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := op.Close(); err != nil {
		t.Fatal(err)
	}
	acceptance.Await(aki, "goodbye", func(wire.Goodbye) bool { return true })
	<-aki.Socket.Done()

	again := acceptance.Connect(t, aki.Client)
	if hello := again.Socket.Hello.Epoch; before == "" || hello != epoch || hello == before {
		t.Errorf("the epoch was %q and is %q; hello says %q", before, epoch, hello)
	}
	again.Send(wire.Sync{T: "sync", ID: "3", Cursor: cursor})
	refusal := acceptance.Await(again, "error", func(f wire.ErrorFrame) bool { return f.ID == "3" })
	if refusal.Code != string(chat.CodeInvalid) {
		t.Errorf("a cursor of the epoch before: %+v", refusal)
	}
	again.Send(wire.Sync{T: "sync", ID: "4"})
	list := acceptance.Await(again, "synced", isID("4"))
	if !slices.ContainsFunc(list.Conversations, func(s wire.Summary) bool { return s.ID == g.ID }) {
		t.Errorf("anew: %+v", list)
	}
}
