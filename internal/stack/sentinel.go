package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// RedisSentinel is a Redis with a replica, and a Sentinel that promotes the
// replica when the master fails. In production there are three Sentinels; here
// one decides alone.
type RedisSentinel struct {
	Master, Replica *Redis
	password        string
	port            int
}

// sentinelMaster is the master's name in the Sentinel.
const sentinelMaster = "hikyaku"

// StartRedisSentinel starts the three servers, and waits until the Sentinel
// knows the other two.
func StartRedisSentinel(ctx context.Context, f *Folder) (*RedisSentinel, error) {
	program, err := findProgram("redis-cli", "redis-tools")
	if err != nil {
		return nil, err
	}
	s := &RedisSentinel{password: f.secrets.password}
	// Either may be the other's replica one day.
	known := "masterauth " + f.secrets.password
	if s.Master, err = StartRedis(ctx, f, "redis-master", known); err != nil {
		return nil, err
	}
	if s.Replica, err = StartRedis(ctx, f, "redis-replica", known, fmt.Sprintf("replicaof 127.0.0.1 %d", s.Master.port)); err != nil {
		return nil, err
	}
	if s.port, err = FreePort(); err != nil {
		return nil, err
	}
	dir, err := f.mkdir("redis-sentinel", nil)
	if err != nil {
		return nil, err
	}
	// The Sentinel writes what it learns into its file.
	path := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(path, fmt.Appendf(nil, `bind 127.0.0.1
port %d
dir %s
sentinel monitor %[3]s 127.0.0.1 %[4]d 1
sentinel auth-pass %[3]s %[5]s
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 5000
`, s.port, dir, sentinelMaster, s.Master.port, s.password), 0o600); err != nil {
		return nil, err
	}
	process, err := f.start(command{name: "redis-sentinel", path: s.Master.program, args: []string{path, "--sentinel"}, dir: dir})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s, process.waitFor(ctx, func(ctx context.Context) error {
		out, err := f.output(exec.CommandContext(ctx, program, "-p", fmt.Sprint(s.port), "sentinel", "replicas", sentinelMaster))
		if err == nil && (!strings.Contains(string(out), fmt.Sprint(s.Replica.port)) || strings.Contains(string(out), "disconnected")) {
			err = errors.New("the Sentinel does not know the replica yet")
		}
		return err
	})
}

// URL returns the address of the current master, by way of the Sentinel.
func (s *RedisSentinel) URL() string {
	return fmt.Sprintf("redis+sentinel://:%s@127.0.0.1:%d/%s", s.password, s.port, sentinelMaster)
}
