package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// An error in an address is reported in one line that names the setting and the
// remedy.
func TestBadInput(t *testing.T) {
	s := clustertest.Shared(t)
	empty, err := s.Postgres.CreateDatabase(t.Context(), "nobody_migrated_it")
	clustertest.NoError(t, err)
	// Another installation: a database of its own.
	other, err := s.Postgres.CreateDatabase(t.Context(), "another_installation")
	clustertest.NoError(t, err)
	if code, out := s.Command(t, []string{"HIKYAKU_DATABASE=" + other}, "migrate"); code != 0 {
		t.Fatal(out)
	}
	vhost, err := s.RabbitMQ[0].CreateVHost(t.Context(), "somewhere-else")
	clustertest.NoError(t, err)
	old := filepath.Join(t.TempDir(), "broker")
	clustertest.NoError(t, os.WriteFile(old, []byte("\n"), 0o600))
	database, broker, redis := s.Postgres.URL("hikyaku"), s.RabbitMQ[0].URL(), s.Redis[0].URL()
	for _, tt := range []struct {
		name string
		set  []string
		says []string
	}{
		{"database away", []string{"HIKYAKU_DATABASE=postgres://127.0.0.1:1/hikyaku"}, []string{"--database", "does not answer"}},
		{"database unknown", []string{"HIKYAKU_DATABASE=" + s.Postgres.URL("nowhere")}, []string{"--database", "nowhere", "create it"}},
		{"database user unknown", []string{"HIKYAKU_DATABASE=" + stacktest.WithCredentials(database, "nobody", "secret-word")}, []string{"--database"}},
		{"database no address", []string{"HIKYAKU_DATABASE=mysql://secret-word@localhost"}, []string{"--database", "postgres://"}},
		{"database empty", []string{"HIKYAKU_DATABASE=" + empty}, []string{"--database", "hikyaku migrate"}},
		{"broker away", []string{"HIKYAKU_BROKER=amqp://127.0.0.1:1/"}, []string{"--broker", "does not answer"}},
		{"broker password wrong", []string{"HIKYAKU_BROKER=" + stacktest.WithCredentials(broker, "guest", "secret-word")}, []string{"--broker", "check user and password"}},
		{"broker virtual host missing", []string{"HIKYAKU_BROKER=" + broker + "nowhere"}, []string{"--broker", "nowhere", "add_vhost"}},
		{"broker no address", []string{"HIKYAKU_BROKER=http://secret-word@localhost"}, []string{"--broker", "amqp://"}},
		{"broker is not one", []string{"HIKYAKU_BROKER=amqp://" + s.Redis[0].Addr()}, []string{"--broker"}},
		{"redis away", []string{"HIKYAKU_REDIS=redis://127.0.0.1:1"}, []string{"--redis"}},
		{"redis password wrong", []string{"HIKYAKU_REDIS=" + stacktest.WithCredentials(redis, "", "secret-word")}, []string{"--redis", "password"}},
		{"redis password missing", []string{"HIKYAKU_REDIS=redis://" + s.Redis[0].Addr()}, []string{"--redis", "password"}},
		{"redis no cluster", []string{"HIKYAKU_REDIS=" + strings.Replace(redis, "redis://", "redis+cluster://", 1)}, []string{"--redis"}},
		{"redis no address", []string{"HIKYAKU_REDIS=secret-word"}, []string{"--redis", "redis://"}},
		{"no redis", []string{"HIKYAKU_REDIS="}, []string{"--redis", "worker", "redis://"}},
		{"no broker", []string{"HIKYAKU_BROKER="}, []string{"--broker", "worker", "amqp://"}},
		{"no database", []string{"HIKYAKU_DATABASE="}, []string{"--database", "worker", "postgres://"}},
		{"both", []string{"HIKYAKU_BROKER_FILE=" + old}, []string{"--broker", "--broker-file"}},
		{"empty file", []string{"HIKYAKU_BROKER=", "HIKYAKU_BROKER_FILE=" + old}, []string{"--broker-file", "empty"}},
		{"no file", []string{"HIKYAKU_REDIS=", "HIKYAKU_REDIS_FILE=/nowhere"}, []string{"--redis-file", "/nowhere"}},
		{"other partitions", []string{"HIKYAKU_PARTITIONS=8"}, []string{"--partitions", "4"}},
		{"another's redis", []string{"HIKYAKU_DATABASE=" + other, "HIKYAKU_DATABASE_REPLICAS=", "HIKYAKU_BROKER=" + vhost}, []string{"--redis", "another installation"}},
		{"another's broker", []string{"HIKYAKU_DATABASE=" + other, "HIKYAKU_DATABASE_REPLICAS=", "HIKYAKU_REDIS=" + redis + "/1"}, []string{"--broker", "another installation"}},
		{"two installations on one database", []string{"HIKYAKU_BROKER=" + vhost, "HIKYAKU_REDIS=" + redis + "/2"}, []string{"--broker", "--broker-moved"}},
		{"no proxies", []string{"HIKYAKU_TRUSTED_PROXIES=nginx"}, []string{"--trusted-proxies", "nginx"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out := s.Command(t, tt.set, "serve")
			if code == 0 {
				t.Error("it ended well")
			}
			out = strings.TrimSpace(out)
			if strings.Contains(out, "\n") {
				t.Errorf("more than one line:\n%s", out)
			}
			for _, word := range tt.says {
				if !strings.Contains(out, word) {
					t.Errorf("%q does not name %q", out, word)
				}
			}
			if strings.Contains(out, "secret-word") {
				t.Errorf("it tells a password: %s", out)
			}
		})
	}
}
