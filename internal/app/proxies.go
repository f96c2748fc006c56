package app

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// proxies are the trusted proxies: their X-Forwarded-* headers are used.
type proxies []netip.Prefix

// parseProxies parses addresses and ranges, such as 10.0.0.5 and 10.1.0.0/16.
func parseProxies(texts []string) (proxies, error) {
	var all proxies
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err != nil {
				return nil, fmt.Errorf("--trusted-proxies: %q is neither an address nor a range, such as 10.0.0.5 or 10.1.0.0/16", text)
			}
			p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func (p proxies) trusts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// handler sets RemoteAddr to the client's address, as far as trusted proxies tell
// it, and removes X-Forwarded-Proto from requests that come from others.
func (p proxies) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !p.trusts(peer.Addr()) {
			r.Header.Del("X-Forwarded-Proto")
			next.ServeHTTP(w, r)
			return
		}
		r.RemoteAddr = net.JoinHostPort(p.client(peer.Addr(), r.Header.Values("X-Forwarded-For")).String(), "0")
		next.ServeHTTP(w, r)
	})
}

// client returns the address of the client. Each proxy appends the address that it
// received the request from, so the last one that is not a trusted proxy is the
// client. The addresses before it were sent by the client and are not trusted.
func (p proxies) client(peer netip.Addr, forwarded []string) netip.Addr {
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for len(hops) > 0 {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[len(hops)-1]))
		if err != nil {
			return peer // not an address
		}
		peer = a.Unmap()
		if !p.trusts(peer) {
			return peer
		}
		hops = hops[:len(hops)-1]
	}
	return peer
}
