package rabbitmq

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue/notifyqueuetest"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// unconfirmingNode stands before a node. After stopConfirming it passes on
// everything but confirmations, as a node that is cut off from the others: it opens
// channels, takes messages, answers heartbeats, and has no majority for anything.
type unconfirmingNode struct {
	url        string
	confirms   atomic.Bool
	suppressed atomic.Int64 // confirmations
}

func startUnconfirmingNode(t *testing.T, node string) *unconfirmingNode {
	t.Helper()
	u, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	behind := u.Host
	u.Host = listener.Addr().String()
	n := &unconfirmingNode{url: u.String()}
	n.confirms.Store(true)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			var dialer net.Dialer
			server, err := dialer.DialContext(t.Context(), "tcp", behind)
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			running.Go(func() {
				n.copyFrames(client, server)
				_ = client.Close()
			})
		}
	})
	t.Cleanup(func() { // after that of the broker, which ends the connections
		_ = listener.Close()
		running.Wait()
	})
	return n
}

// copyFrames passes on what a node sends.
func (n *unconfirmingNode) copyFrames(client io.Writer, server io.Reader) {
	const frameMethod, classBasic, methodAck = 1, 60, 80
	r := bufio.NewReader(server)
	for {
		header, err := r.Peek(7) // type, channel, size
		if err != nil {
			return
		}
		frame := make([]byte, 7+binary.BigEndian.Uint32(header[3:])+1)
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		if frame[0] == frameMethod && binary.BigEndian.Uint16(frame[7:]) == classBasic && binary.BigEndian.Uint16(frame[9:]) == methodAck && !n.confirms.Load() {
			n.suppressed.Add(1)
			continue
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

// openTwoUplinks opens a broker with an uplink by each of two nodes. The first
// uplink stops confirming when the test says so.
func openTwoUplinks(t *testing.T) (*Broker, *unconfirmingNode) {
	t.Helper()
	node := stacktest.VHost(t)
	first := startUnconfirmingNode(t, node)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var b *Broker
	var err error
	// The nodes' order is random, and the first uplink is to be by the first node.
	for {
		b, err = Open(t.Context(), Config{URLs: []string{first.url, node}, Partitions: 1, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		if b.currentSession(nil).conn.RemoteAddr().String() == mustHost(t, first.url) {
			break
		}
		if err := b.Close(eventually.Context(t)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := b.Close(eventually.Context(t)); err != nil {
			t.Error(err)
		}
	})
	eventually.True(t, "both uplinks are there", func() bool {
		return b.uplinks[0].session.Load() != nil && b.uplinks[1].session.Load() != nil
	})
	return b, first
}

func mustHost(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// What a node does not confirm is confirmed by another one, before it counts as
// failed, and what comes after it goes by the other one at once.
func TestUnconfirmedBatchGoesByTheOtherUplink(t *testing.T) {
	t.Parallel() // it has a virtual host of its own
	b, first := openTwoUplinks(t)
	publish := func() {
		t.Helper()
		answer := make(chan error, 1)
		if err := b.Publish(message(1, "hello"), func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		if err := eventually.Receive(t, "the broker answers", answer); err != nil {
			t.Errorf("not confirmed: %v", err)
		}
	}
	publish()
	publish() // both lanes are known
	first.confirms.Store(false)
	publish()
	before := first.suppressed.Load()
	if before == 0 {
		t.Error("the node that confirms nothing was not used")
	}
	const more = 20
	for range more {
		publish()
	}
	if n := first.suppressed.Load() - before; n >= more {
		t.Errorf("the node that confirms nothing got %d of %d more", n, more)
	}
}

// Dead letters and notifications do not depend on the first uplink.
func TestUnconfirmedOthersGoByTheOtherUplink(t *testing.T) {
	t.Parallel() // it has a virtual host of its own
	b, first := openTwoUplinks(t)
	first.confirms.Store(false)
	r := notifyqueuetest.Receive(t, b.NotifyQueue(), nil)
	b.NotifyQueue().Publish([]notifyqueue.Job{notifyqueuetest.Job(1)})
	r.Wait(1)
	b.NotifyQueue().Publish([]notifyqueue.Job{notifyqueuetest.Job(2)}) // leaves once the first is confirmed
	const letters = 20
	s := message(1, "refused")
	for range letters {
		// One that fails is published again, as a worker does: both uplinks may be lost
		// at once where RabbitMQ does not get to run.
		eventually.Nil(t, "a dead letter is kept", func() error {
			return b.publishDeadLetters(context.Background(), []amqp.Publishing{newDeadLetter(&s, chat.NotFound("conversation"))})
		})
	}
	eventually.True(t, "the second notification arrives", func() bool {
		return slices.ContainsFunc(r.Wait(0), func(j notifyqueue.Job) bool { return j.Seq == 2 })
	})
	switch n := first.suppressed.Load(); {
	case n < 2:
		t.Errorf("the node that confirms nothing was used %d times", n)
	case n >= letters:
		t.Errorf("the node that confirms nothing was used %d times: for each of %d dead letters", n, letters)
	}
}
