package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/htmlreport"
	"github.com/hikyaku-chat/hikyaku/internal/bench/plot"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// benchCompare compares reports, or shows them.
type benchCompare struct {
	reportOutput
	Files     []string `arg:"" help:"Reports that --json wrote. Those of one system with the same parameters are repetitions; NAME=FILE puts a report into a group of that name."`
	Published bool     `help:"Compare with the figures that the author of the original design published."`
}

// Run compares the reports.
func (c *benchCompare) Run(std streams) error {
	reports, err := c.read()
	if err != nil {
		return err
	}
	var references []compare.Reference
	if c.Published {
		references = compare.Published
	}
	if err := compare.WriteTable(std.out, compare.Tables(compare.Sets(reports, references...))); err != nil {
		return err
	}
	return c.save(reports, references...)
}

// reportOutput is where the page and the plots are written.
type reportOutput struct {
	Report string `help:"Write a self-contained HTML page with plots to this file." placeholder:"FILE"`
	PNG    string `name:"png" help:"Write the plots as PNG files into this folder." placeholder:"DIR"`
}

func (d *reportOutput) save(reports []*report.Report, references ...compare.Reference) error {
	if d.Report != "" {
		var b bytes.Buffer
		if err := htmlreport.Write(&b, reports, references...); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
		if err := os.WriteFile(d.Report, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
	}
	if d.PNG != "" {
		if _, err := plot.Write(d.PNG, reports, references...); err != nil {
			return fmt.Errorf("--png: %w", err)
		}
	}
	return nil
}

func (c *benchCompare) read() ([]*report.Report, error) {
	reports := make([]*report.Report, len(c.Files))
	for i, name := range c.Files {
		label := ""
		if _, err := os.Stat(name); err != nil {
			if before, after, ok := strings.Cut(name, "="); ok {
				label, name = before, after
			}
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read a report: %w", err)
		}
		r, err := report.Read(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if label != "" {
			if r.Parameters == nil {
				r.Parameters = map[string]string{}
			}
			r.Parameters[compare.Label] = label
		}
		reports[i] = r
	}
	return reports, nil
}
