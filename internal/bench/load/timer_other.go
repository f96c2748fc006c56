//go:build !linux

package load

import "time"

type preciseTimer struct{}

func newPreciseTimer() *preciseTimer { return &preciseTimer{} }

func (*preciseTimer) sleep(d time.Duration) { time.Sleep(d) }

func (*preciseTimer) close() {}
