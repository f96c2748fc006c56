// Package plot draws reports as pictures, for documents and for those who want
// no page.
package plot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot/vg/vgimg"

	"github.com/hikyaku-chat/hikyaku/internal/bench/chart"
	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Write draws every chart of the reports into a folder, which it makes where it
// is missing, and gives the files' paths. Runs of the same scenario are drawn
// together; beside are published figures to draw with them.
func Write(dir string, reports []*report.Report, beside ...compare.Reference) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for the pictures: %w", err)
	}
	var files []string
	for _, set := range compare.Sets(reports, beside...) {
		for _, c := range chart.ForSet(set) {
			var b bytes.Buffer
			if err := Draw(&b, c, subtitle(set)); err != nil {
				return files, fmt.Errorf("draw %s: %w", c.Name, err)
			}
			path := filepath.Join(dir, fileName(c.Name))
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				return files, fmt.Errorf("write a picture: %w", err)
			}
			files = append(files, path)
		}
	}
	return files, nil
}

// fileName is a chart's, from which nothing can lead to another folder.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, name) + ".png"
}

// subtitle says of what system and machine a set's pictures are.
func subtitle(set compare.Set) string {
	var systems []string
	machine := ""
	for _, g := range set.Groups {
		if g.Reference != nil {
			continue
		}
		r := g.Reports[0]
		name := g.Name
		if r.Versions.Target != "" && name == r.Target {
			name += " " + r.Versions.Target
		}
		systems = append(systems, name)
		m := fmt.Sprintf("%d cores", r.Machine.Cores)
		if r.Machine.Processor != "" {
			m = r.Machine.Processor + ", " + m
		}
		if machine != "" && machine != m {
			m = "several machines"
		}
		machine = m
	}
	return set.Scenario + " of " + strings.Join(systems, ", ") + " · " + machine
}

// Draw draws a chart as a PNG, on a ground that is opaque, so that it is the same
// on a page of any color. of says whose it is.
func Draw(w io.Writer, c chart.Chart, of string) error {
	p, err := newPicture(c)
	if err != nil {
		return err
	}
	p.draw(c, of)
	if _, err := (vgimg.PngCanvas{Canvas: p.canvas}).WriteTo(w); err != nil {
		return errors.Join(errors.New("write a PNG"), err)
	}
	return nil
}
