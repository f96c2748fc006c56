package hikyaku

import (
	"math/rand/v2"
	"testing"
)

// The set is the same as a plain one, whatever the order.
func TestRevs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	var set revs
	plain := map[int64]bool{}
	for range 20_000 {
		rev := random.Int64N(maxSpans) + 1 // so few never make too many ranges
		if random.IntN(2) == 0 {
			set.add(rev)
			plain[rev] = true
		} else if set.remove(rev) != plain[rev] {
			t.Fatalf("%d in %v", rev, set)
		} else {
			delete(plain, rev)
		}
		for i := range set {
			if set[i].from > set[i].to || i > 0 && set[i].from <= set[i-1].to+1 {
				t.Fatalf("%v", set)
			}
		}
		for rev := int64(0); rev <= maxSpans+1; rev++ {
			if set.has(rev) != plain[rev] {
				t.Fatalf("%d in %v, which is %v", rev, set, plain)
			}
		}
	}
}

// What is kept is bounded: the lowest goes first.
func TestRevsAreBounded(t *testing.T) {
	var set revs
	for rev := int64(1); rev <= 10*maxSpans; rev++ {
		set.add(2 * rev)
	}
	if len(set) != maxSpans || set.has(2) || !set.has(20*maxSpans) {
		t.Errorf("%d: %v", len(set), set)
	}
}
