// Command 0002-websocket-transport measures what an idle connection and an
// echoed message cost with each of the designs that the decision compares.
//
//	go run . -conns 5000
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/lxzan/gws"

	"github.com/hikyaku-chat/hikyaku/internal/websocket"
)

const subprotocol = "bench.v1"

var designs = []string{"socket, loops", "socket, a goroutine each", "gobwas/ws, a goroutine each", "lxzan/gws", "coder/websocket"}

func main() {
	conns := flag.Int("conns", 5000, "idle connections")
	active := flag.Int("active", 200, "connections that echo")
	echoes := flag.Duration("echo", 5*time.Second, "time of echoing")
	role := flag.String("role", "", "server or client, of a child process")
	design := flag.String("design", "", "of a server")
	addr := flag.String("addr", "", "for a client")
	flag.Parse()
	switch *role {
	case "server":
		serve(*design)
	case "client":
		client(*addr, *conns, *active, *echoes)
	default:
		fmt.Printf("| design | kB per idle connection | goroutines per connection | echoes/s | CPU-s per million echoes |\n| --- | ---: | ---: | ---: | ---: |\n")
		for _, d := range designs {
			if err := measure(d, *conns, *active, *echoes); err != nil {
				log.Fatal(err)
			}
		}
	}
}

// measure runs a design in a process of its own, and its clients in another.
func measure(design string, conns, active int, echoes time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	server := exec.CommandContext(ctx, os.Args[0], "-role", "server", "-design", design)
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		return err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	ask := func(question string) string {
		_, _ = fmt.Fprintln(in, question)
		lines.Scan()
		return lines.Text()
	}
	addr := ask("address")
	before := numbers(ask("state"))
	c := exec.CommandContext(ctx, os.Args[0], "-role", "client", "-addr", addr,
		"-conns", strconv.Itoa(conns), "-active", strconv.Itoa(active), "-echo", echoes.String())
	c.Stderr = os.Stderr
	cin, _ := c.StdinPipe()
	cout, _ := c.StdoutPipe()
	if err := c.Start(); err != nil {
		return err
	}
	said := bufio.NewScanner(cout)
	said.Scan() // connected
	time.Sleep(2 * time.Second)
	idle := numbers(ask("state"))
	_, _ = fmt.Fprintln(cin, "go")
	said.Scan()
	count, _ := strconv.ParseFloat(said.Text(), 64)
	after := numbers(ask("state"))
	_ = cin.Close()
	_ = c.Wait()
	_ = in.Close()
	_ = server.Wait()
	n := float64(conns)
	fmt.Printf("| %s | %.1f | %.0f | %.0f | %.1f |\n", design, (idle[0]-before[0])/n/1000, (idle[1]-before[1])/n,
		count/echoes.Seconds(), (after[2]-idle[2])/count*1e6)
	return nil
}

func numbers(line string) (out [3]float64) {
	_, _ = fmt.Sscan(line, &out[0], &out[1], &out[2])
	return out
}

// serve answers questions about itself: the address, and its state (resident
// bytes, goroutines, CPU seconds).
func serve(design string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(l, handler(design))) }()
	questions := bufio.NewScanner(os.Stdin)
	for questions.Scan() {
		switch questions.Text() {
		case "address":
			fmt.Println(l.Addr())
		case "state":
			runtime.GC()
			debug.FreeOSMemory()
			var u syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
			cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
			fmt.Println(resident(), runtime.NumGoroutine(), cpu)
		}
	}
}

// resident is the memory that the process holds, in bytes.
func resident() int64 {
	b, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

type echo struct{}

func (echo) Frame(*websocket.Conn, int) bool     { return true }
func (echo) Message(c *websocket.Conn, p []byte) { c.Send(websocket.NewFrame(p)) }
func (echo) Closed(_ *websocket.Conn, _ error)   {}
func (echo) OnOpen(*gws.Conn)                    {}
func (echo) OnClose(*gws.Conn, error)            {}
func (echo) OnPing(c *gws.Conn, p []byte)        { _ = c.WritePong(p) }
func (echo) OnPong(*gws.Conn, []byte)            {}
func (echo) OnMessage(c *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	_ = c.WriteMessage(m.Opcode, m.Bytes())
}

func handler(design string) http.Handler {
	switch design {
	case designs[0], designs[1]:
		s, err := websocket.NewServer(websocket.Config{
			MaxMessage: 1 << 17, MaxQueued: 1 << 20, WriteTimeout: 10 * time.Second, IdleTimeout: time.Hour,
			Subprotocol: subprotocol, Portable: design == designs[1],
		})
		if err != nil {
			log.Fatal(err)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = s.Upgrade(w, r, echo{}) })
	case designs[2]:
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == subprotocol }}
			conn, _, _, err := u.Upgrade(r, w)
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for {
					p, err := wsutil.ReadClientText(conn)
					if err != nil || wsutil.WriteServerText(conn, p) != nil {
						return
					}
				}
			}()
		})
	case designs[3]:
		u := gws.NewUpgrader(echo{}, &gws.ServerOption{SubProtocols: []string{subprotocol}})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := u.Upgrade(w, r)
			if err != nil {
				return
			}
			go conn.ReadLoop()
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := coder.Accept(w, r, &coder.AcceptOptions{Subprotocols: []string{subprotocol}})
		if err != nil {
			return
		}
		go func() {
			for {
				kind, p, err := conn.Read(context.Background())
				if err != nil || conn.Write(context.Background(), kind, p) != nil {
					return
				}
			}
		}()
	})
}

// client opens idle connections, says so, and echoes on some when it is told.
func client(addr string, conns, active int, echoes time.Duration) {
	all := make([]net.Conn, conns)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			conn, _, _, err := ws.Dialer{Protocols: []string{subprotocol}}.Dial(context.Background(), "ws://"+addr)
			if err != nil {
				log.Fatal(err)
			}
			all[i] = conn
		})
	}
	wg.Wait()
	fmt.Println("connected")
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n')
	text := []byte(strings.Repeat("x", 200))
	var count atomic.Int64
	end := time.Now().Add(echoes)
	for _, conn := range all[:active] {
		wg.Go(func() {
			for time.Now().Before(end) {
				if wsutil.WriteClientText(conn, text) != nil {
					return
				}
				if _, err := wsutil.ReadServerText(conn); err != nil {
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	fmt.Println(count.Load())
	_, _ = io.Copy(io.Discard, in)
}
