package batching_test

import (
	"sync"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
)

func TestMeter(t *testing.T) {
	var m batching.Meter
	var counting sync.WaitGroup
	for range 4 {
		counting.Go(func() {
			for i := range 1000 {
				m.Count(i % 3)
			}
		})
	}
	counting.Wait()
	if batches, items := m.Totals(); batches != 4000 || items != 4*999 {
		t.Errorf("%d batches of %d items", batches, items)
	}
}
