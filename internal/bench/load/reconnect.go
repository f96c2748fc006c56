package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// All returns the indexes of all users.
func (v *VirtualUsers) All() []int {
	all := make([]int, len(v.users))
	for i := range all {
		all[i] = i
	}
	return all
}

// CanReconnect reports whether users can be disconnected and connect again.
func (v *VirtualUsers) CanReconnect() bool {
	_, ok := v.site.(target.Reconnecter)
	return ok
}

// Disconnect breaks off the connections of users without a close handshake. It
// returns when all are broken off.
func (v *VirtualUsers) Disconnect(users []int) {
	v.disconnect(users, func(conn target.Conn) {
		if cutter, ok := conn.(target.Disconnecter); ok {
			cutter.Disconnect()
			return
		}
		conn.Close()
	})
}

// Reconnect connects users again who were disconnected, and waits until they
// have caught up with what they missed. Durations count from the call.
func (v *VirtualUsers) Reconnect(ctx context.Context, users []int, o ReconnectOptions) (*ConnectResult, error) {
	reconnecter, ok := v.site.(target.Reconnecter)
	if !ok {
		return nil, errors.New("users of this system cannot reconnect")
	}
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	wait := make([]time.Duration, len(users))
	for i := range wait {
		if o.Spread > 0 {
			wait[i] = rand.N(o.Spread) + 1
		}
	}
	slices.Sort(wait)
	users = slices.Clone(users)
	rand.Shuffle(len(users), func(i, j int) { users[i], users[j] = users[j], users[i] })
	return v.connect(ctx, o.ConnectOptions, users, reconnecter.Reconnect, func(i int) time.Duration { return wait[i] }, true)
}
