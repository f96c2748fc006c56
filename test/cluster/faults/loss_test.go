package faults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// The bus loses messages at random, the last ones as well, and says nothing of
// it. Five seconds after the path has returned every device has everything (G4).
// What a busy machine adds to that is measured before each round.
func TestBusLosesMessages(t *testing.T) {
	path := startLossyPath(t)
	s, err := clustertest.Start(stack.Options{Settings: []string{"HIKYAKU_REDIS=" + path.url}})
	clustertest.NoError(t, err)
	for _, loss := range []float64{0.1, 0.5, 1} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			tr := s.StartTraffic(t)
			undisturbed := tr.AwaitDelivery()
			before := path.lost.Load()
			path.lose(loss)
			tr.AwaitSent(50)
			tr.StopSending()
			path.lose(0)
			began := time.Now()
			tr.Verify()
			took := time.Since(began).Round(time.Millisecond)
			lost := path.lost.Load() - before
			t.Logf("%d messages of the bus were lost; %v until every device had everything, %v undisturbed", lost, took, undisturbed.Round(time.Millisecond))
			if lost == 0 {
				t.Error("nothing was lost")
			}
			if bound := 5*time.Second + 10*undisturbed; took > bound {
				t.Errorf("it took longer than %v", bound)
			}
		})
	}
}

// lossyPath is a way to a Redis server that loses messages of Pub/Sub.
type lossyPath struct {
	url  string
	to   string
	loss atomic.Uint64 // bits of the probability
	lost atomic.Int64
}

// startLossyPath starts a server and a way to it that loses nothing yet.
func startLossyPath(t *testing.T) *lossyPath {
	t.Helper()
	server, err := stack.StartRedis(t.Context(), stacktest.Folder(t), "redis")
	clustertest.NoError(t, err)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	clustertest.NoError(t, err)
	p := &lossyPath{to: server.Addr(), url: strings.Replace(server.URL(), server.Addr(), l.Addr().String(), 1)}
	var running sync.WaitGroup
	ended := make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		_ = l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.forward(conn, ended) })
		}
	})
	return p
}

// lose sets the probability with which messages are lost.
func (p *lossyPath) lose(probability float64) { p.loss.Store(math.Float64bits(probability)) }

// forward serves a connection until either side closes it, or ended is closed.
func (p *lossyPath) forward(client net.Conn, ended <-chan struct{}) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var copies sync.WaitGroup
	over := make(chan struct{}, 2)
	copies.Go(func() {
		_, _ = io.Copy(server, client)
		over <- struct{}{}
	})
	copies.Go(func() {
		p.forwardAnswers(client, bufio.NewReader(server))
		over <- struct{}{}
	})
	select {
	case <-over:
	case <-ended:
	}
	_, _ = client.Close(), server.Close()
	copies.Wait()
}

// forwardAnswers forwards what the server says, but for messages that get lost.
func (p *lossyPath) forwardAnswers(client io.Writer, server *bufio.Reader) {
	for {
		var value bytes.Buffer
		if readValue(server, &value) != nil {
			return
		}
		push := value.Bytes()[0] == '>' && bytes.Contains(value.Bytes()[:min(value.Len(), 32)], []byte("message\r\n"))
		if push && rand.Float64() < math.Float64frombits(p.loss.Load()) {
			p.lost.Add(1)
			continue
		}
		if _, err := client.Write(value.Bytes()); err != nil {
			return
		}
	}
}

// readValue reads one value of Redis' protocol and writes its bytes to b
// (https://redis.io/docs/latest/develop/reference/protocol-spec/).
func readValue(r *bufio.Reader, b *bytes.Buffer) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	b.Write(line)
	var values int // of which each element consists
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	case '$', '!', '=':
		n, err := strconv.Atoi(strings.TrimSpace(string(line[1:])))
		if err != nil || n < 0 {
			return err
		}
		_, err = io.CopyN(b, r, int64(n)+2)
		return err
	case '*', '>', '~':
		values = 1
	case '%', '|':
		values = 2
	default:
		return errors.New("not a value of Redis' protocol")
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(line[1:])))
	if err != nil {
		return err
	}
	for range n * values {
		if err := readValue(r, b); err != nil {
			return err
		}
	}
	if line[0] == '|' {
		return readValue(r, b) // attributes go before the value that they are of
	}
	return nil
}
