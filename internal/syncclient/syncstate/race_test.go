//go:build race

package syncstate_test

const raceEnabled = true
