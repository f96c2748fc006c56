package stack

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/hikyaku-chat/hikyaku/deploy"
)

// PostgreSQL has connections for all processes of a cluster, however many gateways
// there are, and a few to spare.
func TestDatabaseConnectionsAreEnough(t *testing.T) {
	line := regexp.MustCompile(`(?m)^max_connections = (\d+)$`).FindStringSubmatch(deploy.PostgreSQL)
	if line == nil {
		t.Fatal("the configuration does not say how many")
	}
	all, err := strconv.Atoi(line[1])
	if err != nil {
		t.Fatal(err)
	}
	for gateways := 1; gateways <= 100; gateways++ {
		o := Options{Gateways: gateways}.WithDefaults()
		each := o.databaseConnections()
		if used := each * (gateways + o.APIs + o.Workers + o.Pushers); each < 1 || used > all-20 {
			t.Errorf("%d gateways have %d connections each, %d of %d in all", gateways, each, used, all)
		}
	}
	for gateways, want := range map[int]int{2: 8, 17: 8, 55: 3} {
		if got := (Options{Gateways: gateways}).WithDefaults().databaseConnections(); got != want {
			t.Errorf("%d gateways: %d connections each, want %d", gateways, got, want)
		}
	}
}
