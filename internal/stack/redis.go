package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/deploy"
)

// Redis is a running Redis server.
type Redis struct {
	*Process
	folder  *Folder
	program string
	dir     string
	port    int
	options []string
}

// StartRedis starts an empty Redis. options are settings in addition to the
// shared ones, such as "cluster-enabled yes".
func StartRedis(ctx context.Context, f *Folder, name string, options ...string) (*Redis, error) {
	program, err := findProgram("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	r := &Redis{Process: &Process{name: name}, folder: f, program: program, options: options}
	if r.dir, err = f.mkdir(name, nil); err != nil {
		return nil, err
	}
	if r.port, err = FreePort(); err != nil {
		return nil, err
	}
	return r, r.Start(ctx)
}

// busPortOffset is the distance between a node's port and its cluster bus port.
const busPortOffset = 10_000

// Start starts the server again, after Stop or Kill. It is empty then: it
// stores nothing on disk.
func (r *Redis) Start(ctx context.Context) error {
	conf := deploy.Redis + fmt.Sprintf("\nbind 127.0.0.1\nport %d\ndir %s\nrequirepass %s\n%s\n",
		r.port, r.dir, r.folder.secrets.password, strings.Join(r.options, "\n"))
	path := filepath.Join(r.dir, "redis.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	process, err := r.folder.start(command{name: r.name, path: r.program, args: []string{path}, dir: r.dir})
	if err != nil {
		return err
	}
	r.Process = process
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return process.waitFor(ctx, func(ctx context.Context) error {
		answer, err := r.Do(ctx, "PING")
		if err == nil && answer != "+PONG" {
			err = fmt.Errorf("PING was answered with %q", answer)
		}
		return err
	})
}

// Do sends one command and returns the first line of the answer.
func (r *Redis) Do(ctx context.Context, command string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("AUTH " + r.folder.secrets.password + "\r\n" + command + "\r\n")); err != nil {
		return "", err
	}
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || line != "+OK\r\n" {
		return "", errors.Join(err, fmt.Errorf("the password was answered with %q", line))
	}
	line, err := answers.ReadString('\n')
	return strings.TrimSpace(line), err
}

// Addr returns the address that the server listens on.
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// URL returns the server's address.
func (r *Redis) URL() string { return "redis://:" + r.folder.secrets.password + "@" + r.Addr() }

// RedisCluster is a running Redis Cluster of three masters.
type RedisCluster struct {
	Nodes    []*Redis
	password string
}

// StartRedisCluster starts three masters and assigns the slots to them.
func StartRedisCluster(ctx context.Context, f *Folder) (*RedisCluster, error) {
	program, err := findProgram("redis-cli", "redis-tools")
	if err != nil {
		return nil, err
	}
	cli := func(ctx context.Context, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), "REDISCLI_AUTH="+f.secrets.password)
		return f.output(cmd)
	}
	c := &RedisCluster{password: f.secrets.password}
	args := []string{"--cluster", "create"}
	for i := range 3 {
		node, err := StartRedis(ctx, f, fmt.Sprintf("redis-%d", i+1),
			"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000")
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
		args = append(args, node.Addr())
	}
	out, err := cli(ctx, append(args, "--cluster-yes")...)
	if err != nil {
		return nil, fmt.Errorf("make a Redis Cluster: %w: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, node := range c.Nodes {
		if err := node.waitFor(ctx, func(ctx context.Context) error {
			out, err := cli(ctx, "-p", fmt.Sprint(node.port), "cluster", "info")
			if err == nil && !strings.Contains(string(out), "cluster_state:ok") {
				err = errors.New("the cluster is not complete yet")
			}
			if err != nil {
				return err
			}
			// A node that believes itself complete may still send clients to
			// where another does not expect them.
			if out, err := cli(ctx, "--cluster", "check", node.Addr()); err != nil {
				return fmt.Errorf("the nodes do not agree yet: %w: %s", err, out)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// URL returns the cluster's address.
func (c *RedisCluster) URL() string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addr()
	}
	return "redis+cluster://:" + c.password + "@" + strings.Join(addrs, ",")
}
