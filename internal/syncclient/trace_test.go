package syncclient_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// trace is a recorded synchronization; testdata/traces/README.md tells what its
// parts mean.
type trace struct {
	About string                        `json:"about"`
	Me    chat.UserID                   `json:"me"`
	Steps []step                        `json:"steps"`
	End   map[chat.ConversationID]state `json:"end"`
}

type step struct {
	Connect json.RawMessage `json:"connect,omitempty"`
	Ping    *wire.Ping      `json:"ping,omitempty"`
	Push    json.RawMessage `json:"push,omitempty"`
	Lose    json.RawMessage `json:"lose,omitempty"`
	Ask     *question       `json:"ask,omitempty"`
	Get     string          `json:"get,omitempty"`
	By      []string        `json:"by,omitempty"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	Wait    int             `json:"wait,omitempty"`
	Cut     bool            `json:"cut,omitempty"`
}

// question is a sync without its id.
type question struct {
	T            string              `json:"t"`
	Cursor       string              `json:"cursor,omitempty"`
	Conversation chat.ConversationID `json:"conversation,omitempty"`
	Rev          int64               `json:"rev,omitempty"`
}

func questionOf(f wire.Sync) question {
	return question{T: f.T, Cursor: f.Cursor, Conversation: f.Conversation, Rev: f.Rev}
}

// state is a conversation as a device must have it.
type state struct {
	Rev      int64      `json:"rev"`
	Read     int64      `json:"read"`
	Unread   int64      `json:"unread"`
	Messages [][2]int64 `json:"messages"` // seq and rev
}

const (
	byGo   = "go"
	byPage = "page"
)

func by(client string, all []string) bool { return len(all) == 0 || slices.Contains(all, client) }

// anyID stands for the id of a sync in its answer.
const anyID = `"id":"*"`

var (
	sessionID  = regexp.MustCompile(`"session":"[^"]*"`)
	times      = regexp.MustCompile(`"(time|at|created_at|active_at|edited_at|deleted_at)":\d+`)
	snowflakes = regexp.MustCompile(`"\d{10,}"|/\d{10,}`)
	nextPings  = regexp.MustCompile(`"next_ms":\d+`)
	names      = regexp.MustCompile(`"client_id":"[^"]*"`)
	cursors    = regexp.MustCompile(`"cursor":"[^"]*"`)
	epochs     = regexp.MustCompile(`"epoch":"[^"]+"`)
)

// encode writes a trace in the form that every recording of the scenario has.
func (tr *trace) encode(t *testing.T) []byte {
	t.Helper()
	marshal := func(v any) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(b.String())
	}
	var out strings.Builder
	fmt.Fprintf(&out, "{\n  \"about\": %s,\n", marshal(tr.About))
	fmt.Fprintf(&out, "  \"me\": %s,\n  \"steps\": [\n", marshal(tr.Me))
	for i := range tr.Steps {
		comma := ","
		if i == len(tr.Steps)-1 {
			comma = ""
		}
		fmt.Fprintf(&out, "    %s%s\n", marshal(tr.Steps[i]), comma)
	}
	fmt.Fprintf(&out, "  ],\n  \"end\": %s\n}\n", marshal(tr.End))
	return normal(out.String())
}

func normal(text string) []byte {
	text = sessionID.ReplaceAllString(text, `"session":"1"`)
	text = times.ReplaceAllString(text, `"$1":1767225600000`)
	text = nextPings.ReplaceAllString(text, `"next_ms":60000`)
	// Ids keep their order, by which clients may go.
	digits := func(s string) string { return strings.Trim(s, `"/`) }
	ids := slices.Compact(slices.SortedFunc(slices.Values(each(snowflakes.FindAllString(text, -1), digits)), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}))
	text = snowflakes.ReplaceAllStringFunc(text, func(s string) string {
		i := slices.Index(ids, digits(s))
		return strings.Replace(s, digits(s), strconv.Itoa(1001+i), 1)
	})
	text = numbered(text, names, `"client_id":"00000000-0000-7000-8000-%012d"`)
	text = numbered(text, cursors, `"cursor":"cursor %d"`)
	text = numbered(text, epochs, `"epoch":"epoch %d"`)
	return []byte(text)
}

func each(all []string, do func(string) string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = do(s)
	}
	return out
}

// numbered replaces what matches by a form with a number, the same for the same.
func numbered(text string, what *regexp.Regexp, form string) string {
	numbers := map[string]int{}
	return what.ReplaceAllStringFunc(text, func(s string) string {
		if numbers[s] == 0 {
			numbers[s] = len(numbers) + 1
		}
		return fmt.Sprintf(form, numbers[s])
	})
}

func tracePath(name string) string { return filepath.Join("testdata", "traces", name+".json") }

func readTrace(t *testing.T, name string) *trace {
	t.Helper()
	raw, err := os.ReadFile(tracePath(name))
	if err != nil {
		t.Fatal(err)
	}
	var tr trace
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&tr); err != nil {
		t.Fatal(err)
	}
	return &tr
}
