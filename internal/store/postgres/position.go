package postgres

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// A position is a snapshot of PostgreSQL: it says exactly which transactions are
// visible to a device, in whatever order they committed. A change number that is
// assigned before its transaction commits does not: a later number can become
// visible first, and the earlier one would be missed.
//
// While a device pages through changes, its position also holds the snapshot of
// the round's first page, which is its base after the round, and the key of the
// last row that it got. In a first round, which goes by conversation, the key is
// the id alone.
//
// Transaction ids mean something in one epoch only (epoch.go).
type position struct {
	epoch string
	base  string // snapshot that the device has seen; "" for nothing
	round string // snapshot of the current round; "" between rounds
	xid   string // key of the last row in the round; "0" in a first round
	id    int64
}

const (
	positionPrefix = "p2."
	noSnapshot     = "-"
)

var snapshotPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,19}):(0|[1-9][0-9]{0,19}):((0|[1-9][0-9]{0,19})(,[1-9][0-9]{0,19})*)?$`)

// encode returns the text of the position.
func (p position) encode() store.Position {
	base := p.base
	if base == "" {
		base = noSnapshot
	}
	text := positionPrefix + p.epoch + "/" + base
	if p.round == "" {
		return store.Position(text)
	}
	return store.Position(strings.Join([]string{text, p.round, p.xid, strconv.FormatInt(p.id, 10)}, "/"))
}

// anySnapshot is ahead of every snapshot, for positions that are compared in the
// database.
const anySnapshot = "0:18446744073709551615:"

// parsePosition parses a position. One of another epoch, or ahead of now, the
// current snapshot, comes from another installation, or from this one before its
// history went back, and the device must start over.
func parsePosition(encoded store.Position, epoch, now string) (p position, err error) {
	p.epoch = epoch
	if encoded == "" {
		return p, nil
	}
	refusal := chat.Refuse(chat.CodeInvalid, "position", "the position is not one of this installation")
	text, ok := strings.CutPrefix(string(encoded), positionPrefix+epoch+"/")
	if !ok {
		return p, refusal
	}
	parts := strings.Split(text, "/")
	if p.base = parts[0]; p.base == noSnapshot {
		p.base = ""
	}
	switch len(parts) {
	case 1:
	case 4:
		p.round, p.xid = parts[1], parts[2]
		if _, err := strconv.ParseUint(p.xid, 10, 64); err != nil {
			return p, refusal
		}
		if p.id, err = strconv.ParseInt(parts[3], 10, 64); err != nil {
			return p, refusal
		}
	default:
		return p, refusal
	}
	for _, snapshot := range []string{p.base, p.round} {
		if snapshot != "" && (!snapshotPattern.MatchString(snapshot) || snapshotXmax(snapshot) > snapshotXmax(now)) {
			return p, refusal
		}
	}
	if p.encode() != encoded {
		return p, refusal
	}
	if p.base == "" && p.xid != "0" {
		p.xid, p.id = "0", 0 // of a version whose first rounds went by change: the round starts over
	}
	return p, nil
}

// snapshotXmax returns the xmax of a snapshot: the first transaction id that was
// not assigned when it was taken.
func snapshotXmax(snapshot string) uint64 {
	parts := strings.SplitN(snapshot, ":", 3)
	if len(parts) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(parts[1], 10, 64)
	return n
}
