package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hikyaku-chat/hikyaku/internal/asyncapi"
)

//go:embed docs.html
var docsHTML string

var docsTemplate = template.Must(template.New("docs").Parse(docsHTML))

func (a *API) openAPI() ([]byte, error) {
	b, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return b, nil
}

// serveDocs serves the OpenAPI and AsyncAPI documents, and an HTML page of both.
// They are generated once: they do not change while the process runs.
func (a *API) serveDocs(mux *http.ServeMux) error {
	openAPI, err := a.openAPI()
	if err != nil {
		return err
	}
	asyncAPI, err := asyncapi.Document()
	if err != nil {
		return err
	}
	var page strings.Builder
	if err := docsTemplate.Execute(&page, a.docs()); err != nil {
		return fmt.Errorf("make the API's page: %w", err)
	}
	serve := func(path, mime string, content []byte) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mime)
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
			_, _ = w.Write(content)
		})
	}
	serve("/api/openapi.json", "application/json", openAPI)
	serve("/api/asyncapi.json", "application/json", asyncAPI)
	serve("/api/docs", "text/html; charset=utf-8", []byte(page.String()))
	return nil
}

// The data of the HTML page.
type (
	docsPage struct {
		Tags   []docsTag
		Frames []asyncapi.Frame
	}
	docsTag struct {
		Name       string
		Operations []docsOperation
	}
	docsOperation struct {
		Method, Path, Summary string
		Public                bool
		Parameters            []docsField
		Body, Answer          []docsField
	}
	docsField struct{ Name, Type, Doc string }
)

func (a *API) docs() docsPage {
	doc := a.huma.OpenAPI()
	byTag := map[string][]docsOperation{}
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			d := docsOperation{Method: op.Method, Path: path, Summary: op.Summary, Public: len(op.Security) == 0}
			for _, p := range op.Parameters {
				d.Parameters = append(d.Parameters, docsField{Name: p.Name, Type: p.In + ", " + typeName(p.Schema), Doc: p.Description})
			}
			if op.RequestBody != nil {
				d.Body = fields(doc, op.RequestBody.Content["application/json"])
			}
			for status, r := range op.Responses {
				if strings.HasPrefix(status, "2") {
					d.Answer = fields(doc, r.Content["application/json"])
				}
			}
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], d)
		}
	}
	page := docsPage{Frames: asyncapi.Frames()}
	for name, operations := range byTag {
		sort.Slice(operations, func(i, j int) bool {
			x, y := operations[i], operations[j]
			return x.Path < y.Path || x.Path == y.Path && x.Method < y.Method
		})
		page.Tags = append(page.Tags, docsTag{Name: name, Operations: operations})
	}
	sort.Slice(page.Tags, func(i, j int) bool { return page.Tags[i].Name < page.Tags[j].Name })
	return page
}

func fields(doc *huma.OpenAPI, media *huma.MediaType) []docsField {
	if media == nil || media.Schema == nil {
		return nil
	}
	schema := media.Schema
	if schema.Ref != "" {
		schema = doc.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	var out []docsField
	for name, p := range schema.Properties {
		out = append(out, docsField{Name: name, Type: typeName(p), Doc: p.Description})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func typeName(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Type == huma.TypeArray:
		return "list of " + typeName(s.Items)
	case len(s.Enum) > 0:
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprint(v)
		}
		return strings.Join(values, " | ")
	}
	return s.Type
}
