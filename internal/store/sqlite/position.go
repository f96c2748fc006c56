package sqlite

import (
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// A position is a change number in base 36 behind a mark that tells it from
// those of other backends.
const positionMark = "s1."

func position(change int64) store.Position {
	return store.Position(positionMark + strconv.FormatInt(change, 36))
}

// parsePosition reads a position. One above every number that was handed out
// is refused as well: it comes from another installation, or from this one
// before it was set back to a backup, and the device must start anew.
func (s *Store) parsePosition(p store.Position) (int64, error) {
	if p == "" {
		return 0, nil
	}
	text, ok := strings.CutPrefix(string(p), positionMark)
	n, err := strconv.ParseInt(text, 36, 64)
	if !ok || err != nil || n < 0 || position(n) != p || n > s.writer.issued.Load() {
		return 0, chat.Refuse(chat.CodeInvalid, "position", "the position is not one of this installation")
	}
	return n, nil
}
