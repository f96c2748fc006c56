// Package redispresence keeps presence in Redis, for a cluster. Redis may lose it
// at any time without harm.
//
// A user's devices are a hash with a key per user: a field for each device, with
// the node in its name. A script on that one key makes changes, so that of two
// concurrent changes exactly one changes the user's presence. A node is alive
// while it sends heartbeats; the devices of other nodes are ignored at once and
// removed by the first process that notices (reaper.go).
//
// The process that has the connections keeps its devices in memory. When Redis
// fails, it continues, and registers all devices again when Redis is back
// (reregister.go); it does the same when Redis has lost the node, because it
// restarted empty. For the first seconds of an empty Redis, who has no device there
// is not said to be offline (lookup.go). It then registers the current devices of each user and removes
// all others: those that disconnected during the outage. Users who have no device
// left in the process are found in Redis, in the set of the node's users.
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
	// nodeTTL is how long a node counts as alive after its last heartbeat.
	nodeTTL = 8 * time.Second
	// heartbeatInterval is the time between heartbeats. Devices are registered
	// again within this time after Redis is back.
	heartbeatInterval = 2 * time.Second
	// nodeListTTL is how long the list of live nodes is cached.
	nodeListTTL = 500 * time.Millisecond
	// maxPipeline is how many commands are sent to Redis at once.
	maxPipeline = 500
)

// Config configures a presence.
type Config struct {
	// OnChange is called for each user whose presence changes because this
	// process removes the devices of a dead node, registers its own again, or
	// has written a device after the call for it had returned.
	OnChange func(ctx context.Context, s presence.State)
	// OnRegistered is called when devices of this process were registered again.
	// Nobody may have found them since they were lost, or before a first
	// registration that was late: what was sent to these users meanwhile did not
	// reach them. Without users it is everybody.
	OnRegistered func(users ...chat.UserID)
	Now          func() time.Time // default time.Now
	Logger       *slog.Logger     // default none
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	if c.OnChange == nil {
		c.OnChange = func(context.Context, presence.State) {}
	}
	if c.OnRegistered == nil {
		c.OnRegistered = func(...chat.UserID) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Presence is a presence in Redis. See [New].
type Presence struct {
	cfg         Config
	client      *redisconn.Client
	reapTimeout time.Duration

	mu         sync.Mutex
	devices    map[userNode][]device      // devices of this process
	writeLocks map[userNode]chan struct{} // one for each write in progress; closed when it ends
	nodes      map[string]bool            // nodes of this process
	outOfSync  bool                       // Redis may differ from devices
	forgotten  bool                       // Redis had lost devices that are not registered again
	unwritten  map[chat.UserID]bool       // users whose devices could not be written since they were registered

	nodeList        map[string]bool // whether a node is alive, until nodeListExpires
	nodeListExpires time.Time
	nodeListChanges int           // how often the list was invalidated
	nodeListFetch   chan struct{} // semaphore of 1: only one caller fetches the list

	stop context.CancelFunc
	done sync.WaitGroup
}

// userNode is a user on a node.
type userNode struct {
	user chat.UserID
	node string
}

// device is one device of a userNode.
type device struct {
	id   int64
	away bool
}

var _ presence.Presence = (*Presence)(nil)

// New returns a presence and starts its heartbeats. The caller closes the client.
func New(client *redisconn.Client, cfg Config) *Presence {
	cfg = cfg.WithDefaults()
	ctx, stop := context.WithCancel(context.Background())
	p := &Presence{
		cfg: cfg, client: client, reapTimeout: reapTimeout, devices: map[userNode][]device{}, writeLocks: map[userNode]chan struct{}{}, nodes: map[string]bool{}, unwritten: map[chat.UserID]bool{},
		nodeList: map[string]bool{}, nodeListFetch: make(chan struct{}, 1), stop: stop,
	}
	p.done.Go(func() { p.maintain(ctx) })
	return p
}

// Close stops the heartbeats and marks this process's nodes as dead.
func (p *Presence) Close() {
	p.stop()
	p.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), redisconn.CallTimeout)
	defer cancel()
	for node := range p.nodes {
		// When it fails, the node expires by itself.
		p.client.Do(ctx, p.client.B().Zadd().Key(p.nodesKey()).ScoreMember().ScoreMember(0, node).Build())
	}
}

func (p *Presence) userKey(u chat.UserID) string {
	return p.client.Key("presence:{" + u.String() + "}")
}
func (p *Presence) nodesKey() string { return p.client.Key("nodes") }

// deadNodesKey is in the same slot of a Cluster as nodesKey.
func (p *Presence) deadNodesKey() string { return "{" + p.nodesKey() + "}:dead" }

// knownSinceKey has the time at which a gateway registered first, or somebody asked,
// since Redis last forgot everything. It is in the same slot as nodesKey.
func (p *Presence) knownSinceKey() string       { return "{" + p.nodesKey() + "}:since" }
func (p *Presence) usersKey(node string) string { return p.client.Key("node:{" + node + "}:users") }

func field(d presence.Device) string { return d.Node + "/" + strconv.FormatInt(d.ID, 10) }
