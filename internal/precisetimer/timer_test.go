package precisetimer_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/precisetimer"
)

func TestSleepsAreNotShorter(t *testing.T) {
	t.Parallel()
	var sleeping sync.WaitGroup
	for i := range 200 { // more than are kept
		sleeping.Go(func() {
			d := time.Duration(i) * 37 * time.Microsecond
			for range 3 {
				began := time.Now()
				precisetimer.Sleep(d)
				if took := time.Since(began); took < d {
					t.Errorf("slept for %v, not %v", took, d)
				}
			}
		})
	}
	sleeping.Wait()
	precisetimer.Sleep(0)
	precisetimer.Sleep(-time.Second)
}

func TestSyntheticClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		precisetimer.Sleep(3 * time.Hour)
		if took := time.Since(began); took != 3*time.Hour {
			t.Error(took)
		}
	})
}

// To be compared with time.Sleep: how late it is, in µs.
func BenchmarkSleep(b *testing.B) {
	for name, sleep := range map[string]func(time.Duration){"precise": precisetimer.Sleep, "time": time.Sleep} {
		b.Run(name, func(b *testing.B) {
			late := time.Duration(0)
			for i := range b.N {
				d := 2*time.Millisecond + time.Duration(i%10)*100*time.Microsecond
				began := time.Now()
				sleep(d)
				late += time.Since(began) - d
			}
			b.ReportMetric(float64(late.Microseconds())/float64(b.N), "µs-late/op")
		})
	}
}
