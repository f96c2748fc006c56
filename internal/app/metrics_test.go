package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
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
	acceptance.Join(t, url, "aki")
	acceptance.Join(t, url, "ben")
	deadline := time.Now().Add(patience)
	for {
		text := get(t, metrics)
		if strings.Contains(text, "\nhikyaku_gateway_connections 2\n") && strings.Contains(text, "\ngo_goroutines ") {
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
