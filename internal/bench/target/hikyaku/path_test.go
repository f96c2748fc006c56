package hikyaku

import (
	"net/netip"
	"testing"
)

// Sockets are spread evenly over all pairs of a gateway and a source, also when
// there are as many of one as of the other.
func TestSocketsAreSpreadOverGatewaysAndSources(t *testing.T) {
	gateways := []string{"a", "b", "c", "d"}
	sources := []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.4"), netip.MustParseAddr("127.0.0.5")}
	type path struct {
		gateway string
		source  netip.Addr
	}
	for g := range len(gateways) + 1 {
		for s := range len(sources) + 1 {
			o := Options{Gateways: gateways[:g], Sources: sources[:s]}
			count := map[path]int{}
			const rounds = 3
			pairs := max(g, 1) * max(s, 1)
			for user := range rounds * pairs {
				var p path
				p.gateway, p.source = o.path(user)
				count[p]++
			}
			if len(count) != pairs {
				t.Errorf("%d gateways and %d sources: %d pairs", g, s, len(count))
			}
			for p, n := range count {
				if n != rounds || (p.gateway == "") != (g == 0) || p.source.IsValid() != (s > 0) {
					t.Errorf("%d gateways and %d sources: %+v has %d of %d sockets", g, s, p, n, rounds)
				}
			}
		}
	}
}
