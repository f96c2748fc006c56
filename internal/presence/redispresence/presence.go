// Package redispresence keeps presence for a cluster in Redis, where it can be lost at
// any time without harm.
//
// A person's devices are a hash, of the person's own key: a field for each
// device, named by its node. Changes go through a script on that one key, so
// that of two changes at once exactly one changes how the person can be
// reached. A node is alive while it keeps saying so; the devices of one that
// does not are passed over at once and cleared away by whoever notices first.
//
// The process that holds the sockets remembers its devices. When Redis is away
// it goes on, and tells everything again when Redis is back; it does the same
// when Redis has forgotten the node, because it came back empty. It then tells
// of each person which devices there are and takes off all others: those that
// went while Redis was away. Whom to tell of, though nothing of them is left in
// the process, stands in Redis, in the set of the node's users.
package redispresence

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

const (
	// nodeLife is how long a node counts as alive after it last said so.
	nodeLife = 8 * time.Second
	// sayEvery is how often it says so. Everything is told again within
	// this time of Redis' return.
	sayEvery = 2 * time.Second
	// believe is how long the list of living nodes is believed.
	believe = 500 * time.Millisecond
	// chunk is how many commands go to Redis at once.
	chunk = 500
)

// Config is what a presence works with.
type Config struct {
	// OnChange is called when this process notices that somebody else's
	// node is gone, or tells its own devices again, for each person whose
	// reachability that changed.
	OnChange func(ctx context.Context, s presence.State)
	Now      func() time.Time // default time.Now
	Logger   *slog.Logger     // default none
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	if c.OnChange == nil {
		c.OnChange = func(context.Context, presence.State) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Presence is the presence in Redis. See [New].
type Presence struct {
	cfg    Config
	client *redisconn.Client

	mu     sync.Mutex
	mine   map[place][]device      // devices of this process
	turns  map[place]chan struct{} // of whom a write is under way; closed when it ends
	nodes  map[string]bool         // nodes of this process
	unsure bool                    // Redis may know something else than mine

	living  map[string]bool // nodes, as of livingAt
	lookAt  time.Time
	looking chan struct{} // holds one, of whoever asks for the list

	stop context.CancelFunc
	done sync.WaitGroup
}

// place is where a user has devices.
type place struct {
	user chat.UserID
	node string
}

// device is one of those that a user has in a place.
type device struct {
	id   int64
	away bool
}

var _ presence.Presence = (*Presence)(nil)

// New makes a presence. The client stays the caller's.
func New(client *redisconn.Client, cfg Config) *Presence {
	cfg = cfg.WithDefaults()
	ctx, stop := context.WithCancel(context.Background())
	p := &Presence{
		cfg: cfg, client: client, mine: map[place][]device{}, turns: map[place]chan struct{}{}, nodes: map[string]bool{},
		living: map[string]bool{}, looking: make(chan struct{}, 1), stop: stop,
	}
	p.done.Go(func() { p.keep(ctx) })
	return p
}

// Close stops, and takes this process's nodes off.
func (p *Presence) Close() {
	p.stop()
	p.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), redisconn.CallTimeout)
	defer cancel()
	for node := range p.nodes {
		// When it fails the node runs out by itself.
		p.client.Do(ctx, p.client.B().Zadd().Key(p.nodesKey()).ScoreMember().ScoreMember(0, node).Build())
	}
}

func (p *Presence) userKey(u chat.UserID) string {
	return p.client.Key("presence:{" + u.String() + "}")
}
func (p *Presence) nodesKey() string            { return p.client.Key("nodes") }
func (p *Presence) usersKey(node string) string { return p.client.Key("node:{" + node + "}:users") }

func field(d presence.Device) string { return d.Node + "/" + strconv.FormatInt(d.ID, 10) }
