package htmlreport

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"

	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/web"
)

// Write writes the page of one or more reports: each scenario has a section,
// and runs of the same scenario are compared. references are published figures
// to compare with.
func Write(w io.Writer, reports []*report.Report, references ...compare.Reference) error {
	files, err := web.Report()
	if err != nil {
		return err
	}
	return write(w, files, newPage(reports, references))
}

func write(w io.Writer, files fs.FS, p Page) error {
	script, err := fs.ReadFile(files, "report.js")
	if err != nil {
		return fmt.Errorf("the report's page is not built into this binary; build it with make build: %w", err)
	}
	style, err := fs.ReadFile(files, "report.css")
	if err != nil {
		return fmt.Errorf("the report's page is not whole in this binary; build it with make build: %w", err)
	}
	for _, part := range [][]byte{script, style} {
		if low := bytes.ToLower(part); bytes.Contains(low, []byte("</script")) || bytes.Contains(low, []byte("</style")) || bytes.Contains(low, []byte("<!--")) {
			return errors.New("the report's script or style holds a tag that would end it; it was built wrongly")
		}
	}
	// The texts of a run come from elsewhere. encoding/json writes < > and & as
	// \u003c and so on, so that none of them can end the element.
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the report's data: %w", err)
	}
	// The page may run its own script and use its own style, which it names by
	// what is in them; it may load nothing, and send nothing to anybody.
	policy := fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'", cspHash(script), cspHash(style))
	_, err = fmt.Fprintf(w, template, policy, html.EscapeString(p.Title), style, data, script)
	return err
}

const template = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s – Hikyaku bench</title>
<link rel="icon" href="data:,">
<style>%s</style>
</head>
<body>
<noscript>This report draws its plots with a script of its own, which is switched off here.</noscript>
<div id="report"></div>
<script type="application/json" id="data">%s</script>
<script>%s</script>
</body>
</html>
`

// cspHash returns the source expression of an element's content for a content
// security policy.
func cspHash(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
