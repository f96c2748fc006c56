package sqlite

import (
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// A position is a change number in base 36, after the epoch in which it means
// something and a prefix that distinguishes it from those of other backends.
const positionPrefix = "s2."

func formatPosition(epoch string, change int64) store.Position {
	return store.Position(positionPrefix + epoch + "/" + strconv.FormatInt(change, 36))
}

// parsePosition parses a position. One of another epoch, or above every assigned
// number, is refused as well: it comes from another installation, or from this one
// before a backup was restored, and the device must start over.
func (s *Store) parsePosition(epoch string, p store.Position) (int64, error) {
	if p == "" {
		return 0, nil
	}
	text, ok := strings.CutPrefix(string(p), positionPrefix+epoch+"/")
	n, err := strconv.ParseInt(text, 36, 64)
	if !ok || err != nil || n < 0 || formatPosition(epoch, n) != p || n > s.writer.issued.Load() {
		return 0, chat.Refuse(chat.CodeInvalid, "position", "the position is not one of this installation")
	}
	return n, nil
}
