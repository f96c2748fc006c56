package main

import (
	"bytes"
	"errors"
	"fmt"
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
		sort.Strings(unknown)
		return fmt.Errorf("--config: %s: there is no setting %s; known are %s", f.path, strings.Join(unknown, ", "), strings.Join(known, ", "))
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
	sort.Strings(unknown)
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	return errors.New("unknown environment variable " + strings.Join(unknown, ", ") + "; known are " + strings.Join(names, ", "))
}

// flagged returns the error of a package's setting with the dashes of its flag.
func flagged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%w", err)
}
