package postgres

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// A position is a snapshot of PostgreSQL: it says exactly which transactions a
// device has seen the effects of, whatever the order in which they committed.
// A change number that was handed out before its transaction committed would
// not: a later number can be seen first, and the earlier one would be missed.
//
// While a device pages through what is new, its position also holds the
// snapshot of the round's first page, which it will have seen when the round
// is over, and the key of the last row that it got.
type position struct {
	base  string // snapshot that the device has seen; "" for nothing
	round string // snapshot of the round under way; "" between rounds
	xid   string // key of the last row in the round
	id    int64
}

const (
	positionMark = "p1."
	nothing      = "-"
)

var snapshotForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,19}):(0|[1-9][0-9]{0,19}):((0|[1-9][0-9]{0,19})(,[1-9][0-9]{0,19})*)?$`)

func (p position) seal() store.Position {
	base := p.base
	if base == "" {
		base = nothing
	}
	if p.round == "" {
		return store.Position(positionMark + base)
	}
	return store.Position(strings.Join([]string{positionMark + base, p.round, p.xid, strconv.FormatInt(p.id, 10)}, "/"))
}

// parsePosition reads a position. now is the present snapshot: a position that
// is ahead of it comes from another installation, or from this one before it
// was set back to a backup, and the device must start anew.
func parsePosition(sealed store.Position, now string) (p position, err error) {
	if sealed == "" {
		return p, nil
	}
	refusal := chat.Refuse(chat.CodeInvalid, "position", "the position is not one of this installation")
	text, ok := strings.CutPrefix(string(sealed), positionMark)
	if !ok {
		return p, refusal
	}
	parts := strings.Split(text, "/")
	if p.base = parts[0]; p.base == nothing {
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
		if snapshot != "" && (!snapshotForm.MatchString(snapshot) || newest(snapshot) > newest(now)) {
			return p, refusal
		}
	}
	if p.seal() != sealed {
		return p, refusal
	}
	return p, nil
}

// newest is the first transaction id that was not given out when the snapshot
// was taken.
func newest(snapshot string) uint64 {
	parts := strings.SplitN(snapshot, ":", 3)
	if len(parts) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(parts[1], 10, 64)
	return n
}
