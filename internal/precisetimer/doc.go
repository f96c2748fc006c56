// Package precisetimer sleeps to the microsecond.
//
// An idle Go scheduler waits for its next timer with epoll, which counts in whole
// milliseconds: a process that sleeps for 3.6 ms wakes up after 3 ms for nothing, and
// then up to half a millisecond late. Here the sleep ends by a timer of the system
// (timerfd), which the same epoll watches: one wake-up, on time. Elsewhere than on
// Linux it is time.Sleep.
package precisetimer
