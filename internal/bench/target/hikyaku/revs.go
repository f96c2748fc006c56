package hikyaku

import (
	"slices"
	"sort"
)

// revs is a set of revs, stored as ranges because most are consecutive. It
// drops the lowest ranges where it would grow too large.
type revs []span

// span is an inclusive range of revs.
type span struct{ from, to int64 }

// maxSpans bounds a set: 1 KiB.
const maxSpans = 64

// at returns the index of the first range that does not end before rev.
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

// remove removes a rev, and reports whether it was in the set.
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
