package snowflake

import (
	"sync"
	"testing"
	"time"
)

func TestIDsAreUniqueAndGrow(t *testing.T) {
	clock := Epoch.Add(time.Hour)
	m, err := NewGenerator(7, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for i := range 3 * maxSequence {
		if i == maxSequence+100 {
			clock = clock.Add(-time.Minute) // the clock is set back
		}
		id := m.Next()
		if id <= last {
			t.Fatalf("%d after %d", id, last)
		}
		if node := id >> sequenceBits & MaxNode; node != 7 {
			t.Fatalf("node %d", node)
		}
		last = id
	}
	if d := Time(last).Sub(Epoch.Add(time.Hour)); d < 0 || d > 5*time.Millisecond {
		t.Errorf("the ids ran %v ahead of the clock", d)
	}
}

func TestConcurrentGeneratorsDiffer(t *testing.T) {
	seen := make(map[int64]bool)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for node := range 4 {
		m, err := NewGenerator(node, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			wg.Go(func() {
				for range 1000 {
					id := m.Next()
					mu.Lock()
					if seen[id] {
						t.Errorf("%d was made twice", id)
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
}

func TestNodeNumbers(t *testing.T) {
	for _, node := range []int{-1, MaxNode + 1} {
		if _, err := NewGenerator(node, nil); err == nil {
			t.Errorf("node %d was taken", node)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	m, _ := NewGenerator(0, nil)
	for b.Loop() {
		m.Next()
	}
}
