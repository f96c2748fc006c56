package hikyaku

import (
	"slices"
	"sort"
)

// revs is a set of revs, kept as ranges, because they mostly come one after the
// other. It forgets the lowest where it would grow too large.
type revs []span

// span is from one rev to another, both of them included.
type span struct{ from, to int64 }

// maxSpans bounds a set: 1 KiB.
const maxSpans = 64

// at is the place of the first range that does not end before rev.
func (r revs) at(rev int64) int {
	return sort.Search(len(r), func(i int) bool { return r[i].to >= rev })
}

func (r revs) has(rev int64) bool {
	i := r.at(rev)
	return i < len(r) && r[i].from <= rev
}

func (r *revs) add(rev int64) {
	if r.has(rev) {
		return
	}
	s := *r
	i := s.at(rev)
	before, after := i > 0 && s[i-1].to == rev-1, i < len(s) && s[i].from == rev+1
	switch {
	case before && after:
		s[i-1].to = s[i].to
		s = slices.Delete(s, i, i+1)
	case before:
		s[i-1].to = rev
	case after:
		s[i].from = rev
	default:
		s = slices.Insert(s, i, span{rev, rev})
	}
	if len(s) > maxSpans {
		s = slices.Delete(s, 0, 1)
	}
	*r = s
}

// remove takes a rev out, if it is in.
func (r *revs) remove(rev int64) bool {
	if !r.has(rev) {
		return false
	}
	s := *r
	i := s.at(rev)
	switch whole := s[i]; {
	case whole.from == whole.to:
		s = slices.Delete(s, i, i+1)
	case whole.from == rev:
		s[i].from++
	case whole.to == rev:
		s[i].to--
	default:
		s[i].to = rev - 1
		s = slices.Insert(s, i+1, span{rev + 1, whole.to})
	}
	if len(s) > maxSpans {
		s = slices.Delete(s, 0, 1)
	}
	*r = s
	return true
}
