package chat_test

import (
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func TestCheckBatchName(t *testing.T) {
	for name, ok := range map[string]bool{
		"bench-k3v9": true, "a": true, "0-": true, strings.Repeat("a", 40): true,
		"": false, strings.Repeat("a", 41): false, "Bench": false, "a b": false, "a/b": false, "飛脚": false, "a_b": false,
	} {
		if err := chat.CheckBatchName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
