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

// benchCompare sets reports side by side, or only shows them.
type benchCompare struct {
	reportOutput
	Files     []string `arg:"" help:"Reports that --json wrote. Those of one system with the same parameters are repetitions; NAME=FILE puts a report into a group of that name."`
	Published bool     `help:"Compare with what the author of the original design published of it."`
}

// Run compares.
func (c *benchCompare) Run(std streams) error {
	reports, err := c.read()
	if err != nil {
		return err
	}
	var beside []compare.Reference
	if c.Published {
		beside = compare.Published
	}
	if err := compare.WriteTable(std.out, compare.Tables(compare.Sets(reports, beside...))); err != nil {
		return err
	}
	return c.save(reports, beside...)
}

// reportOutput is where plots go.
type reportOutput struct {
	Report string `help:"Write one page with plots to this file, which needs nothing else." placeholder:"FILE"`
	PNG    string `name:"png" help:"Write the plots as pictures into this folder." placeholder:"DIR"`
}

func (d *reportOutput) save(reports []*report.Report, beside ...compare.Reference) error {
	if d.Report != "" {
		var b bytes.Buffer
		if err := htmlreport.Write(&b, reports, beside...); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
		if err := os.WriteFile(d.Report, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
	}
	if d.PNG != "" {
		if _, err := plot.Write(d.PNG, reports, beside...); err != nil {
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
