package webpush

import (
	"errors"
	"fmt"
	"net/netip"
)

// errForbiddenAddress means that the address of a push service is not allowed.
var errForbiddenAddress = errors.New("the address is not a public one with port 443")

// globalUnicastV6 is the part of IPv6 that is routed between networks. Outside of it
// are loopback, link-local, private, multicast and IPv4-mapped addresses, and
// 64:ff9b::/96, through which a NAT64 reaches all of IPv4.
var globalUnicastV6 = netip.MustParsePrefix("2000::/3")

// specialPrefixes are the addresses that do not belong to servers on the internet, or
// not only: IANA's registries of special-purpose addresses, and one more.
var specialPrefixes = mustParsePrefixes(
	"0.0.0.0/8",       // this network; 0.0.0.0 is this host
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared by a carrier's customers; a cloud's metadata
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local; clouds' metadata
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments; a cloud's metadata
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved; broadcast

	"168.63.129.16/32", // a cloud's metadata, behind an address that looks public

	"2001::/23",     // protocol assignments; Teredo has IPv4 within
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4 has IPv4 within
	"3fff::/20",     // documentation
)

func mustParsePrefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// isPublic reports whether an address may belong to a server on the internet.
func isPublic(ip netip.Addr) bool {
	// A zone names an interface of this host, and Prefix.Contains rejects it.
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	if ip.Is6() && !globalUnicastV6.Contains(ip) {
		return false
	}
	for _, p := range specialPrefixes {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// checkDial is called before each connection is made, with the address that the host
// name resolved to. It fails with [errForbiddenAddress].
func checkDial(network, address string) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%s by %s: %w", address, network, errForbiddenAddress)
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil || a.Port() != 443 || !isPublic(a.Addr()) {
		return fmt.Errorf("%s: %w", address, errForbiddenAddress)
	}
	return nil
}
