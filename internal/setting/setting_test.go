package setting_test

import (
	"math"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

func TestBetween(t *testing.T) {
	const give = "messages per second, such as 20"
	for _, tt := range []struct {
		err  error
		says string // empty when the value is good
	}{
		{setting.Between("rate", 0.001, 0.001, 1e6, give), ""},
		{setting.Between("rate", 1e6, 0.001, 1e6, give), ""},
		{setting.Between("rate", 0, 0.001, 1e6, give), "rate: 0 is not between 0.001 and 1000000; give messages per second, such as 20"},
		{setting.Between("rate", 1e7, 0.001, 1e6, give), "rate: 10000000 is not between 0.001 and 1000000; give messages per second, such as 20"},
		{setting.Between("rate", math.NaN(), 0.001, 1e6, give), "rate: NaN is not between 0.001 and 1000000; give messages per second, such as 20"},
		{setting.Between("rate", math.Inf(1), 0.001, 1e6, give), "rate: +Inf is not between 0.001 and 1000000; give messages per second, such as 20"},
		{setting.Between("at-once", 4, 1, 9, "a number"), ""},
		{setting.Between("at-once", -1, 1, 9, "a number"), "at-once: -1 is not between 1 and 9; give a number"},
		{setting.Between("delay", time.Hour, time.Second, time.Minute, "a time"), "delay: 1h0m0s is not between 1s and 1m0s; give a time"},
	} {
		switch {
		case tt.err == nil && tt.says != "":
			t.Errorf("accepted, want %q", tt.says)
		case tt.err != nil && tt.err.Error() != tt.says:
			t.Errorf("got %q, want %q", tt.err, tt.says)
		}
	}
}
