package sqlite_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		appendUntilKilled(path)
		return
	}
	goleak.VerifyTestMain(m)
}
