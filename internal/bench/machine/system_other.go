//go:build !linux

package machine

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// measureSystem measures system calls alone: processes cannot be bound to a
// processor here, and a write that is on the disk is not what Linux calls so.
func (s *Speed) measureSystem(context.Context, Options) (err error) {
	s.SyscallNS, err = perRound(1000, func(n int) error {
		for range n {
			_ = unix.Getppid()
		}
		return nil
	})
	return err
}

// Echo is not used on this system.
func Echo() error { return errors.New("bench echo is for the load tool on Linux") }
