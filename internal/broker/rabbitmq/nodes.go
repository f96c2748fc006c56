package rabbitmq

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// failureMemory is for how long a node that failed is tried after the others.
const failureMemory = time.Minute

// nodes are the nodes of RabbitMQ, as this process sees them. It is safe for
// concurrent use.
type nodes struct {
	urls []string

	mu       sync.Mutex
	failedAt []time.Time // when a connection to the node last failed
	taken    []bool      // by dialExclusive
}

func newNodes(urls []string) *nodes {
	return &nodes{urls: urls, failedAt: make([]time.Time, len(urls)), taken: make([]bool, len(urls))}
}

// nodeConnection is a connection to one of the nodes. Whoever has it calls end.
type nodeConnection struct {
	*amqp.Connection
	end func(err error) // closes the connection; err is why it was of no more use, nil when it was
}

// dial connects to the first node that answers. Those that failed lately come
// last, since a node that hangs takes its time; the order of the others is random.
func (n *nodes) dial(ctx context.Context, purpose string) (*nodeConnection, error) {
	return n.dialFirst(ctx, purpose, false)
}

// dialExclusive is dial for a connection to another node than those of all other
// connections that it has made.
func (n *nodes) dialExclusive(ctx context.Context, purpose string) (*nodeConnection, error) {
	return n.dialFirst(ctx, purpose, true)
}

func (n *nodes) dialFirst(ctx context.Context, purpose string, exclusive bool) (*nodeConnection, error) {
	var errs []error
	for _, i := range n.order(time.Now()) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if exclusive && !n.take(i) {
			continue
		}
		conn, err := dial(ctx, n.urls[i], purpose)
		if err == nil {
			return &nodeConnection{Connection: conn, end: func(err error) {
				_ = conn.CloseDeadline(time.Now().Add(time.Second))
				n.release(i, exclusive, err)
			}}, nil
		}
		n.release(i, exclusive, err)
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, errors.New("--broker: this process is connected to all nodes already")
	}
	return nil, errors.Join(errs...)
}

// order returns the nodes in the order in which they are tried.
func (n *nodes) order(now time.Time) []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	order := rand.Perm(len(n.urls))
	lately := func(i int) time.Time {
		if now.Sub(n.failedAt[i]) > failureMemory {
			return time.Time{}
		}
		return n.failedAt[i]
	}
	slices.SortStableFunc(order, func(i, j int) int { return lately(i).Compare(lately(j)) })
	return order
}

// take reports whether the node was free for a connection of dialExclusive.
func (n *nodes) take(i int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	free := !n.taken[i]
	n.taken[i] = true
	return free
}

func (n *nodes) release(i int, exclusive bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.failedAt[i] = time.Now()
	}
	if exclusive {
		n.taken[i] = false
	}
}
