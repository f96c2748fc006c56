package sqlite

import (
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// A position says up to which change number a device has seen everything. In the
// device's first round, which goes by conversation, it says so for the conversations
// up to a slot.
//
// Its text has the numbers in base 36, after the epoch in which they mean something
// and a prefix that distinguishes it from those of other backends.
type position struct {
	change int64
	slot   int64 // the last conversation in a first round; 0 after it
}

const positionPrefix = "s2."

func (p position) encode(epoch string) store.Position {
	text := positionPrefix + epoch + "/" + strconv.FormatInt(p.change, 36)
	if p.slot > 0 {
		text += "/" + strconv.FormatInt(p.slot, 36)
	}
	return store.Position(text)
}

// parsePosition parses a position. One of another epoch, or above every assigned
// number, is refused as well: it comes from another installation, or from this one
// before a backup was restored, and the device must start over.
func (s *Store) parsePosition(epoch string, encoded store.Position) (p position, err error) {
	if encoded == "" {
		return p, nil
	}
	text, ok := strings.CutPrefix(string(encoded), positionPrefix+epoch+"/")
	change, slot, first := strings.Cut(text, "/")
	p.change, err = strconv.ParseInt(change, 36, 64)
	if first && err == nil {
		p.slot, err = strconv.ParseInt(slot, 36, 64)
	}
	if !ok || err != nil || p.change < 0 || p.slot < 0 || p.encode(epoch) != encoded || p.change > s.writer.issued.Load() {
		return position{}, chat.Refuse(chat.CodeInvalid, "position", "the position is not one of this installation")
	}
	return p, nil
}
