package storetest

import (
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

var epochTests = []testCase{
	{name: "the epoch outlives the process", run: epochKept},
	{name: "a new epoch", run: newEpoch},
	{name: "a new epoch of another process", run: newEpochBeside},
}

func epochKept(f *fixture) {
	epoch, changed := f.s.Epoch()
	if epoch == "" || len(epoch) > 64 {
		f.Errorf("the epoch is %q", epoch)
	}
	for range 2 {
		f.reopen()
		again, _ := f.s.Epoch()
		f.equal("again", again, epoch)
	}
	select {
	case <-changed:
		f.Error("the epoch is the same, and the channel is closed")
	default:
	}
}

// newEpoch begins an epoch between and during the lists of devices: each must
// begin anew, and then pays only for what changes.
func newEpoch(f *fixture) {
	u := f.user()
	a, b, c := f.group(u), f.group(u), f.group(u)
	whole, part := newDevice(u), newDevice(u)
	whole.sync(f, 9)
	_, next, more, err := f.s.Changed(f.ctx(), u, "", 2)
	f.noError(err)
	f.equal("more", more, true)
	part.at = next

	before, changed := f.s.Epoch()
	epoch, err := f.s.NewEpoch(f.ctx())
	f.noError(err)
	if epoch == before {
		f.Errorf("the new epoch is %q, as the one before", epoch)
	}
	select {
	case <-changed:
	default:
		f.Error("the channel is not closed")
	}
	f.send(b, u, "of the new epoch")
	for range 2 {
		now, _ := f.s.Epoch()
		f.equal("the epoch", now, epoch)
		for _, d := range []*device{whole, part} {
			_, _, _, err := f.s.Changed(f.ctx(), u, d.at, 9)
			f.refused(err, chat.CodeInvalid)
			anew := newDevice(u)
			changed, gone := anew.sync(f, 2)
			f.equal("all, once", sorted(changed...), sorted(a, b, c))
			f.equal("gone", gone, []chat.ConversationID{})
			changed, _ = anew.sync(f, 2)
			f.equal("nothing more", changed, []chat.ConversationID{})
			f.send(a, u, "x")
			f.send(b, u, "x")
			changed, _ = anew.sync(f, 2)
			f.equal("what changed", changed, []chat.ConversationID{a, b})
			f.send(a, u, "x")
			f.send(c, u, "x")
			f.send(b, u, "x")
		}
		f.reopen()
	}
}

func newEpochBeside(f *fixture) {
	other := f.Beside()
	defer func() { f.noError(other.Close()) }()
	u := f.user()
	f.group(u)
	d := newDevice(u)
	d.sync(f, 9)
	_, changed := f.s.Epoch()
	epoch, err := other.NewEpoch(f.ctx())
	f.noError(err)
	eventually.True(f.T, "the epoch is known", func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	})
	now, _ := f.s.Epoch()
	f.equal("the epoch", now, epoch)
	_, _, _, err = f.s.Changed(f.ctx(), u, d.at, 9)
	f.refused(err, chat.CodeInvalid)
	list, _ := newDevice(u).sync(f, 9)
	f.equal("anew", len(list), 1)
}
