package rawtcp_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
)

// BenchmarkEcho is one request after the other to a process that answers them, on a
// processor of its own, with a pause after each as in a system that is not busy. It
// reports the context switches of that process for each request.
func BenchmarkEcho(b *testing.B) {
	for _, kind := range []string{"net", "raw"} {
		b.Run(kind, func(b *testing.B) { benchmarkEcho(b, kind) })
	}
}

const echoKind = "HIKYAKU_TEST_ECHO" // set in the process that answers

func benchmarkEcho(b *testing.B, kind string) {
	binary, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	echo := exec.CommandContext(b.Context(), binary, "-test.run", "TestEchoProcess")
	echo.Env = append(os.Environ(), "GOMAXPROCS=1", echoKind+"="+kind+" "+listener.Addr().String())
	if err := echo.Start(); err != nil {
		b.Fatal(err)
	}
	c, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	request := make([]byte, 100)
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, request); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	_ = c.Close()
	_ = echo.Wait()
	usage, ok := echo.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		b.Fatal("the system does not tell what the process has used")
	}
	b.ReportMetric(float64(usage.Nvcsw+usage.Nivcsw)/float64(b.N), "switches/op")
	b.ReportMetric(float64(echo.ProcessState.UserTime()+echo.ProcessState.SystemTime())/float64(b.N), "cpu-ns/op")
}

// TestEchoProcess is the process that answers.
func TestEchoProcess(t *testing.T) {
	var kind, addr string
	if _, err := fmt.Sscan(os.Getenv(echoKind), &kind, &addr); err != nil {
		return // it is no such process
	}
	c, err := net.Dial("tcp", addr) //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	if kind == "raw" {
		c = rawtcp.New(c)
	}
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
}
