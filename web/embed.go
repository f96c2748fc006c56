// Package web holds the page and that of the load tool's reports, built by
// "make build".
package web

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files is the built page; index.html is missing when it was not built.
func Files() (fs.FS, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	return files, nil
}

//go:embed all:dist-report
var report embed.FS

// Report is the script (report.js) and the style (report.css) of the load
// tool's reports; they are missing when they were not built. The server does
// not serve them.
func Report() (fs.FS, error) {
	files, err := fs.Sub(report, "dist-report")
	if err != nil {
		return nil, fmt.Errorf("read the report's page: %w", err)
	}
	return files, nil
}
