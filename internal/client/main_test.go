package client_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// tests ends the connections that wait for the next request to the REST API:
// they are of the process, and of no client.
type tests struct{ *testing.M }

func (m tests) Run() int {
	code := m.M.Run()
	client.CloseIdleConnections()
	return code
}
