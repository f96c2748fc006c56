// Package setting words the refusal of an operator's setting: which one, what
// it may be, and what to give instead.
package setting

import (
	"fmt"
	"strconv"
	"time"
)

// Between refuses a value that is not from least to most. The error begins with
// the name, as an operator knows it: that of the flag, where there is one, but
// for its dashes, which whoever wires puts before it. give says what to give
// instead.
func Between[T int | float64 | time.Duration](name string, value, least, most T, give string) error {
	if value >= least && value <= most { // which NaN is not
		return nil
	}
	return fmt.Errorf("%s: %s is not between %s and %s; give %s", name, plain(value), plain(least), plain(most), give)
}

// plain writes numbers without exponents.
func plain(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}
