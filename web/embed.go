// Package web holds the page, built by "make build".
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
