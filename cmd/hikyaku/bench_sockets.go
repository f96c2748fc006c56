package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/probe"
)

// What a socket takes, as docs/bench.md ("As many sockets as fit") tells how it was
// measured, rounded up.
const (
	// gatewayBytes is the memory of a gateway for a socket.
	gatewayBytes = 4_200
	// toolBytes is the memory of the load tool for a socket: its account, its
	// buffers, its place in the audit.
	toolBytes = 5_200
	// kernelBytes is the memory of the kernel for both ends of a socket, and of
	// the other servers for its user.
	kernelBytes = 9_200
	// socketBytes is the memory of the machine for a socket.
	socketBytes = gatewayBytes + toolBytes + kernelBytes

	// processBytes is the memory of a gateway, or of a process of the load tool,
	// without sockets; they share the program's own pages.
	processBytes = 20 << 20
	// serversBytes is the memory of everything else: PostgreSQL with a replica,
	// RabbitMQ, Redis, nginx, API, workers; and some that stays free.
	serversBytes = 2 << 30

	// maxSocketProcesses is how many processes the load tool may have.
	maxSocketProcesses = 64
	// maxSocketsEach is how many sockets a process holds, at most, also where it
	// may open more files: its collector stops for all of them.
	maxSocketsEach = 18_500
	// minSocketsEach is the least.
	minSocketsEach = 2
)

// socketLimits are what the machine has for sockets. Zero is not known.
type socketLimits struct {
	files        uint64 // that a process may open
	machineFiles uint64 // that all processes may still open together
	memory       int64  // bytes that are available
}

// readSocketLimits asks the system.
func readSocketLimits() (l socketLimits) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		l.files = files.Max // to which Go raises it
	}
	if runtime.GOOS != "linux" {
		return l
	}
	if text, err := os.ReadFile("/proc/sys/fs/file-nr"); err == nil {
		var open, unused, most uint64
		if _, err := fmt.Sscan(string(text), &open, &unused, &most); err == nil && most > open {
			l.machineFiles = most - open
		}
	}
	if m, err := probe.ReadMemory(); err == nil {
		l.memory = m.Available
	}
	return l
}

// socketPlan is how sockets are divided among processes: as many gateways as
// processes of the load tool.
type socketPlan struct {
	sockets   int
	processes int    // of each of the two
	fewer     string // why there are fewer sockets than were asked for; empty if there are not
}

// planSockets plans for a number of sockets, or for as many as fit. each is how
// many a process has; 0 for as many as its limit of open files allows.
func planSockets(asked, each int, l socketLimits) socketPlan {
	if each == 0 {
		each = maxSocketsEach
		// The rest is for connections to servers, logs and the like.
		if l.files > 0 && l.files < maxSocketsEach*40/37 {
			each = max(minSocketsEach, int(l.files)*37/40) //nolint:gosec // it is small
		}
	}
	p := socketPlan{sockets: asked}
	limit := func(most int, why string) {
		if most < p.sockets {
			p.sockets, p.fewer = most, why
		}
	}
	limit(maxSocketProcesses*each, fmt.Sprintf("%d processes of the load tool, the most that there may be, have %s each", maxSocketProcesses, humanize.Number(float64(each))))
	if l.machineFiles > 0 {
		// Each socket has two ends. The servers open some thousands of files.
		limit(max(0, int(min(l.machineFiles, 1<<40))-20_000)/2, //nolint:gosec // it fits
			fmt.Sprintf("all processes together may open %s more files (fs.file-max), and a socket takes two", humanize.Number(float64(l.machineFiles))))
	}
	if l.memory > 0 {
		limit(socketsInMemory(l.memory, each), fmt.Sprintf("%s of memory are available: %s for the servers, %s for each gateway and each process of the load tool, and for each socket %s (%s in a gateway, %s in the load tool, %s in the kernel and the other servers)",
			inMiB(l.memory), inMiB(serversBytes), inMiB(processBytes), inBytes(socketBytes), inBytes(gatewayBytes), inBytes(toolBytes), inBytes(kernelBytes)))
	}
	p.sockets = max(p.sockets, 2) // the least of a run
	p.processes = processesForSockets(p.sockets, each)
	return p
}

func processesForSockets(sockets, each int) int { return (sockets + each - 1) / each }

// socketMemory returns how much memory a number of sockets takes, with all processes.
func socketMemory(sockets, each int) int64 {
	return serversBytes + int64(sockets)*socketBytes + 2*processBytes*int64(processesForSockets(sockets, each))
}

// socketsInMemory returns how many sockets fit.
func socketsInMemory(memory int64, each int) int {
	low, high := 0, int(max(0, memory-serversBytes)/socketBytes) // low fits, high+1 does not
	for low < high {
		if middle := (low + high + 1) / 2; socketMemory(middle, each) <= memory {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

func inMiB(bytes int64) string { return humanize.Format(float64(bytes)/(1<<20), humanize.MiB) }

func inBytes(bytes float64) string { return humanize.Format(bytes, humanize.Bytes) }

// note says in a sentence what was planned, when it is not what was asked for.
func (p socketPlan) note(asked int) string {
	if p.fewer == "" {
		return ""
	}
	return fmt.Sprintf("%s sockets instead of %s: %s", humanize.Number(float64(p.sockets)), humanize.Number(float64(asked)), p.fewer)
}
