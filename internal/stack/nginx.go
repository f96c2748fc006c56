package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/deploy"
)

// Nginx is a running nginx in front of the cluster.
type Nginx struct {
	*Process
	folder  *Folder
	program string
	dir     string
	port    int
}

// Upstreams are the addresses that nginx distributes requests to, and the
// proxies in front of it whose statements about the client it trusts.
type Upstreams struct{ Gateways, APIs, Pages, TrustedProxies []string }

// StartNginx starts nginx on a free port, or on the given one.
func StartNginx(ctx context.Context, f *Folder, port int, up Upstreams) (*Nginx, error) {
	program, err := findProgram("nginx", "nginx", "/usr/sbin")
	if err != nil {
		return nil, err
	}
	n := &Nginx{Process: &Process{name: "nginx"}, folder: f, program: program, port: port}
	if n.dir, err = f.mkdir("nginx", nil); err != nil {
		return nil, err
	}
	if port == 0 {
		if n.port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if err := n.write(up); err != nil {
		return nil, err
	}
	return n, n.start(ctx)
}

// nginxMain is the main configuration around the shared template.
const nginxMain = `daemon off;
master_process on;
worker_processes %d;
%s
pid nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events { worker_connections 16384; accept_mutex on; multi_accept on; }
http {
    access_log off;
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    include hikyaku.conf;
}
`

func (n *Nginx) write(up Upstreams) error {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the folder is ours alone
	}
	servers := func(addrs []string, options string) string {
		var b strings.Builder
		for _, a := range addrs {
			fmt.Fprintf(&b, "server %s %s;\n    ", a, options)
		}
		return b.String()
	}
	var proxies strings.Builder
	for _, p := range up.TrustedProxies {
		fmt.Fprintf(&proxies, "set_real_ip_from %s;\n    ", p)
	}
	const requests = "max_fails=3 fail_timeout=1s"
	values := map[string]string{
		"NGINX_LISTEN":    fmt.Sprintf("127.0.0.1:%d backlog=4096", n.port),
		"NGINX_RESOLVER":  "",
		"GATEWAY_SERVERS": servers(up.Gateways, "max_fails=0"),
		"API_SERVERS":     servers(up.APIs, requests),
		"PAGE_SERVERS":    servers(up.Pages, requests),
		"TRUSTED_PROXIES": proxies.String(),
		"TLS_CONFIG":      "",
	}
	// As envsubst does it: only the names that are known; nginx's own
	// variables stay.
	text := os.Expand(deploy.Nginx, func(name string) string {
		if value, ok := values[name]; ok {
			return value
		}
		return "$" + name
	})
	if err := os.MkdirAll(filepath.Join(n.dir, "tmp"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(n.dir, "hikyaku.conf"), []byte(text), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(n.dir, "nginx.conf"), fmt.Appendf(nil, nginxMain, 2, user), 0o600)
}

func (n *Nginx) start(ctx context.Context) error {
	process, err := n.folder.start(command{
		name: n.name, path: n.program, args: []string{"-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"), "-e", "stderr"}, dir: n.dir,
	})
	if err != nil {
		return err
	}
	n.Process = process
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return process.waitFor(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+"/healthz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			err = fmt.Errorf("/healthz answers %s", res.Status)
		}
		return errors.Join(err, res.Body.Close())
	})
}

// Reload changes the upstreams without interruption. Open sockets stay where
// they are.
func (n *Nginx) Reload(up Upstreams) error {
	if err := n.write(up); err != nil {
		return err
	}
	if err := unix.Kill(n.PID(), unix.SIGHUP); err != nil {
		return fmt.Errorf("reload nginx: %w", err)
	}
	return nil
}

// URL returns the address of nginx.
func (n *Nginx) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", n.port) }
