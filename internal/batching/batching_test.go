package batching_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := batching.NewSignal()
		ctx, cancel := context.WithCancel(t.Context())
		woken := 0
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for s.Wait(ctx) {
				woken++
				time.Sleep(time.Second)
			}
		}()
		synctest.Wait()
		for range 10 {
			s.Notify() // the first wakes it up, the others are one
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		cancel()
		<-ended
		if woken != 2 {
			t.Errorf("woken up %d times by notifications before and during its work", woken)
		}
	})
}

// A queue behaves as a list under any sequence of operations.
func TestQueueIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := batching.NewQueue[int]()
		var model, taken, spare []int
		next := 0
		same := func(got, want []int) {
			if !slices.Equal(got, want) {
				t.Fatalf("took %v, not %v", got, want)
			}
			taken = slices.Clone(got)
		}
		t.Repeat(map[string]func(*rapid.T){
			"Add": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "n") {
					q.Add(next)
					model = append(model, next)
					next++
				}
			},
			"Take": func(t *rapid.T) {
				limit := rapid.IntRange(0, 8).Draw(t, "limit")
				n := len(model)
				if limit > 0 {
					n = min(n, limit)
				}
				got := q.Take(limit)
				same(got, model[:n])
				model = model[n:]
				_ = append(got, -1) // the queue's memory is not its own any more
			},
			"TakeWhile": func(t *rapid.T) {
				// As by the bytes of a batch.
				weight := rapid.IntRange(0, 12).Draw(t, "weight")
				n := 0
				for left := weight; n < len(model) && left > 0; n++ {
					left -= model[n] % 4
				}
				left := weight
				got := q.TakeWhile(func(v *int) bool {
					if left <= 0 {
						return false
					}
					left -= *v % 4
					return true
				})
				same(got, model[:n])
				model = model[n:]
			},
			"Swap": func(*rapid.T) {
				got := q.Swap(spare)
				same(got, model)
				model, spare = nil, got
			},
			"PutBack": func(*rapid.T) {
				q.PutBack(slices.Clone(taken))
				model = slices.Concat(taken, model)
				taken = nil
			},
			"": func(t *rapid.T) {
				if q.Len() != len(model) {
					t.Fatalf("%d items wait, not %d", q.Len(), len(model))
				}
			},
		})
	})
}

// The consumer is woken up whenever there are items.
func TestQueueIsReady(t *testing.T) {
	q := batching.NewQueue[int]()
	ready := func() bool {
		select {
		case <-q.Ready():
			return true
		default:
			return false
		}
	}
	if ready() {
		t.Error("an empty queue is ready")
	}
	q.PutBack(nil)
	if ready() {
		t.Error("nothing was put back, and the queue is ready")
	}
	q.Add(1)
	q.Add(2)
	if !ready() || ready() {
		t.Error("it is not ready once for what came")
	}
	q.PutBack(q.Take(0))
	if !ready() {
		t.Error("it is not ready for what was put back")
	}
}

// Items that are added while a batch is handled are the next batch, split at the
// limit.
func TestRunGathersWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := batching.NewQueue[int]()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		var batches [][]int
		go func() {
			defer close(ended)
			q.Run(ctx, 3, func(_ context.Context, items []int) {
				batches = append(batches, items)
				time.Sleep(time.Second)
			})
		}()
		q.Add(0)
		synctest.Wait() // it is in work, alone
		for i := 1; i <= 7; i++ {
			q.Add(i)
		}
		time.Sleep(10 * time.Second)
		q.Add(8)
		time.Sleep(10 * time.Second)
		cancel()
		<-ended
		want := [][]int{{0}, {1, 2, 3}, {4, 5, 6}, {7}, {8}}
		if !slices.EqualFunc(batches, want, slices.Equal) {
			t.Errorf("the batches were %v, not %v", batches, want)
		}
	})
}

// When ctx ends, Run finishes the current batch and leaves the rest.
func TestRunStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := batching.NewQueue[int]()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		finished := 0
		go func() {
			defer close(ended)
			q.Run(ctx, 1, func(context.Context, []int) {
				time.Sleep(time.Minute)
				finished++
			})
		}()
		for i := range 5 {
			q.Add(i)
		}
		time.Sleep(time.Second)
		cancel()
		<-ended
		if finished != 1 || q.Len() != 4 {
			t.Errorf("%d items were handled and %d are left", finished, q.Len())
		}
	})
}

// Concurrent adds: nothing is lost, the items of one goroutine stay in order, no
// batch exceeds the limit, and one batch is handled at a time.
func TestQueueUnderLoad(t *testing.T) {
	const adders, each, limit = 8, 2000, 100
	type item struct{ by, n int }
	q := batching.NewQueue[item]()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var adding, running sync.WaitGroup
	var inWork sync.Mutex
	next := [adders]int{}
	left := adders * each
	running.Go(func() {
		q.Run(ctx, limit, func(_ context.Context, items []item) {
			if !inWork.TryLock() {
				t.Error("two batches are in work at once")
				return
			}
			defer inWork.Unlock()
			if len(items) == 0 || len(items) > limit {
				t.Errorf("a batch of %d", len(items))
			}
			for _, i := range items {
				if i.n != next[i.by] {
					t.Errorf("item %d of %d came where %d was due", i.n, i.by, next[i.by])
				}
				next[i.by] = i.n + 1
			}
			if left -= len(items); left == 0 {
				cancel()
			}
		})
	})
	for by := range adders {
		adding.Go(func() {
			for n := range each {
				q.Add(item{by, n})
			}
		})
	}
	adding.Wait()
	running.Wait()
	if left != 0 || q.Len() != 0 {
		t.Errorf("%d items are missing, %d wait", left, q.Len())
	}
}

// A lossy queue is a bounded list until something is lost, and then accepts
// nothing until the loss was reported.
func TestLossyIsABoundedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		q := batching.NewLossy[int](limit)
		var model []int
		size, lost := 0, false
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"Add": func(t *rapid.T) {
				weight := rapid.IntRange(1, 30).Draw(t, "size")
				q.Add(next, weight)
				switch {
				case lost:
				case size > 0 && size+weight > limit:
					lost = true
				default:
					model = append(model, next)
					size += weight
				}
				next++
			},
			"Lose": func(*rapid.T) {
				q.Lose()
				lost = true
			},
			"Take": func(t *rapid.T) {
				items, reported := q.Take()
				if !slices.Equal(items, model) || reported != lost {
					t.Fatalf("took %v and a loss: %v; not %v and %v", items, reported, model, lost)
				}
				model, size, lost = nil, 0, false
			},
			"": func(t *rapid.T) {
				if (len(model) > 0 || lost) && len(q.Ready()) == 0 {
					t.Fatal("there is something to take, and the queue is not ready")
				}
			},
		})
	})
}

// No loss is silent: a receiver that counts items finds every gap reported.
func TestLossyUnderLoad(t *testing.T) {
	const items = 50_000
	q := batching.NewLossy[int](64)
	var running sync.WaitGroup
	ended := make(chan struct{})
	received, gaps := 0, 0
	running.Go(func() {
		next, gap := 0, false
		look := func() {
			batch, lost := q.Take()
			for _, n := range batch {
				if n < next || n > next && !gap {
					t.Errorf("%d came where %d was due, after a loss: %v", n, next, gap)
				}
				next, gap = n+1, false
				received++
			}
			if lost {
				gap = true
				gaps++
			}
		}
		for {
			select {
			case <-q.Ready():
				look()
			case <-ended:
				look()
				return
			}
		}
	})
	for n := range items {
		q.Add(n, 1)
	}
	close(ended)
	running.Wait()
	t.Logf("%d of %d received, %d gaps", received, items, gaps)
	if received < items && gaps == 0 {
		t.Error("a loss was not reported")
	}
}

func BenchmarkQueue(b *testing.B) {
	type item [16]uint64 // about a submission
	b.Run("Add", func(b *testing.B) {
		q := batching.NewQueue[item]()
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			q.Add(item{})
			if n++; n%500 == 0 {
				q.Take(0)
			}
		}
	})
	b.Run("Add/swapped", func(b *testing.B) {
		q := batching.NewQueue[*item]()
		var spare []*item
		one := new(item)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			q.Add(one)
			if n++; n%500 == 0 {
				spare = q.Swap(spare)
				clear(spare)
			}
		}
	})
	b.Run("Run", func(b *testing.B) {
		q := batching.NewQueue[item]()
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		handled := make(chan int, 1)
		running.Go(func() {
			n := 0
			q.Run(ctx, 0, func(_ context.Context, items []item) {
				if n += len(items); n == b.N {
					handled <- n
				}
			})
		})
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			q.Add(item{})
		}
		<-handled
		b.StopTimer()
		cancel()
		running.Wait()
	})
}
