package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// settingsFile is a YAML file whose keys are names of flags. The command line
// and the environment override it.
type settingsFile struct {
	path   string
	values map[string]any
}

// readSettings reads the file that --config or HIKYAKU_CONFIG names, if one is
// named. It comes before the command line is parsed, because its values go
// into that.
func readSettings(args, environ []string) (*settingsFile, error) {
	f := &settingsFile{}
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, "HIKYAKU_CONFIG="); ok {
			f.path = value
		}
	}
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			f.path = value
		} else if arg == "--config" && i+1 < len(args) {
			f.path = args[i+1]
		}
	}
	if f.path == "" {
		return f, nil
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, fmt.Errorf("--config: %s cannot be read: %w", f.path, err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(b)).Decode(&f.values); err != nil && len(bytes.TrimSpace(b)) > 0 {
		return nil, fmt.Errorf("--config: %s is not YAML with a setting on each line: %w", f.path, err)
	}
	return f, nil
}

// Validate implements [kong.Resolver]. A mistyped setting must not be ignored.
func (f *settingsFile) Validate(app *kong.Application) error {
	known := flagNames(app)
	var unknown []string
	for name, value := range f.values {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		} else if _, err := plainValue(value); err != nil {
			return fmt.Errorf("--config: %s: %s: %w", f.path, name, err)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("--config: %s: %w", f.path, errUnknown("setting", unknown, known))
	}
	return nil
}

// Resolve implements [kong.Resolver].
func (f *settingsFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := f.values[flag.Name]
	if !ok || len(flag.Envs) > 0 && os.Getenv(flag.Envs[0]) != "" {
		return nil, nil //nolint:nilnil // kong's way to say that there is none
	}
	return plainValue(value)
}

// plainValue formats a value as on the command line.
func plainValue(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v), nil
	case []any:
		texts := make([]string, len(v))
		for i := range v {
			text, err := plainValue(v[i])
			if err != nil {
				return "", err
			}
			texts[i] = text
		}
		return strings.Join(texts, ","), nil
	default:
		return "", errors.New("it is neither a value nor a list of values")
	}
}

// flagNames returns the names of all flags that a file may contain.
func flagNames(app *kong.Application) []string {
	var names []string
	eachFlag(app.Node, func(f *kong.Flag) {
		if len(f.Envs) > 0 && f.Name != "config" {
			names = append(names, f.Name)
		}
	})
	sort.Strings(names)
	return slices.Compact(names)
}

func eachFlag(n *kong.Node, f func(*kong.Flag)) {
	for _, flag := range n.Flags {
		f(flag)
	}
	for _, child := range n.Children {
		eachFlag(child, f)
	}
}

// unknownVariables returns the HIKYAKU_ variables that no flag reads: a
// mistyped setting must not be ignored.
func unknownVariables(app *kong.Application, environ []string) error {
	known := map[string]bool{}
	eachFlag(app.Node, func(f *kong.Flag) {
		for _, env := range f.Envs {
			known[env] = true
		}
	})
	var unknown []string
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "HIKYAKU_") && !known[name] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return errUnknown("environment variable", unknown, slices.Collect(maps.Keys(known)))
}

// errUnknown names settings that there are not, each with those that may have been
// meant, and says where all of them are.
func errUnknown(kind string, unknown, known []string) error {
	slices.Sort(unknown)
	for i, name := range unknown {
		if meant := nearest(name, known); len(meant) > 0 {
			unknown[i] += ", did you mean " + strings.Join(meant, " or ") + "?"
		} else {
			unknown[i] += ";"
		}
	}
	return fmt.Errorf("there is no %s %s hikyaku serve --help and the help of the other commands list all", kind, strings.Join(unknown, " And no "))
}

// nearest returns the one or two of known that take the fewest edits to become name:
// none when that is more than a third of it.
func nearest(name string, known []string) []string {
	least := len(strings.TrimPrefix(name, "HIKYAKU_"))/3 + 1
	var found []string
	for _, k := range slices.Sorted(slices.Values(known)) {
		switch n := edits(name, k); {
		case n < least:
			least, found = n, []string{k}
		case n == least && len(found) > 0:
			found = append(found, k)
		}
	}
	return found[:min(len(found), 2)]
}

// edits returns how many bytes are to be inserted, deleted or replaced to make a into
// b (their Levenshtein distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1) // from the first i bytes of a to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// flagged returns the error of a package's setting with the dashes of its flag.
func flagged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%w", err)
}
