// Package plot draws the charts of reports as PNG files.
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

// Write draws every chart of the reports into a folder, which it creates if
// needed, and returns the paths of the files. Runs of the same scenario are
// drawn together, with references as published figures.
func Write(dir string, reports []*report.Report, references ...compare.Reference) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for the pictures: %w", err)
	}
	var files []string
	for _, set := range compare.Sets(reports, references...) {
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

// fileName returns a chart's file name, which cannot refer to another folder.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, name) + ".png"
}

// subtitle returns the systems and the machine of a set.
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

// Draw draws a chart as a PNG with an opaque background, so that it looks the
// same on a page of any color.
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
