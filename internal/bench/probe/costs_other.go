//go:build !linux

package probe

const hasProcfs = false
