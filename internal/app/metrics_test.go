package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
)

// Metrics are served on their own address, and only there.
func TestMetrics(t *testing.T) {
	cfg := testConfig(t)
	cfg.MetricsListen = "127.0.0.1:0"
	at := make(chan string, 1)
	cfg.Logger = slog.New(slog.NewTextHandler(addressWriter(at), nil))
	url := start(t, cfg).URL()
	metrics := <-at
	aki := acceptance.Join(t, url, "aki")
	ben := acceptance.Join(t, url, "ben")
	d, err := aki.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		aki.SendMessage(d.ID, "hello")
	}
	deadline := time.Now().Add(patience)
	for {
		text := get(t, metrics)
		has := func(pattern string) bool { return regexp.MustCompile("(?m)^" + pattern + "$").MatchString(text) }
		if has("hikyaku_gateway_connections 2") && has("go_goroutines .*") &&
			has(fmt.Sprintf(`hikyaku_process_info\{pid="%d",roles="push,worker,gateway,api,ui",version="test"\} 1`, os.Getpid())) &&
			has(`hikyaku_batch_items_total\{hop="store"\} 3`) && has(`hikyaku_batches_total\{hop="store"\} [123]`) &&
			has(`hikyaku_batches_total\{hop="socket-read"\} [1-9]\d*`) && has(`hikyaku_batch_items_total\{hop="socket-write"\} [1-9]\d*`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the metrics are\n%s", text)
		}
	}
	if text := get(t, url+"/metrics"); strings.Contains(text, "hikyaku_gateway_connections") {
		t.Error("the public address serves the metrics")
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// addressWriter reads the address of the metrics from the log.
type addressWriter chan string

var metricsAt = regexp.MustCompile(`setting=--metrics-listen at=(\S+)`)

func (a addressWriter) Write(p []byte) (int, error) {
	if found := metricsAt.FindSubmatch(p); found != nil {
		a <- string(found[1])
	}
	return len(p), nil
}
