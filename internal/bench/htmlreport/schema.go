package htmlreport

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Schema returns the JSON Schema of the document hikyaku.bench/v1. Its
// definition Page is the data that this package passes to the script of its
// page.
func Schema() ([]byte, error) {
	registry := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	ref := registry.Schema(reflect.TypeFor[report.Report](), true, "").Ref
	registry.Schema(reflect.TypeFor[Page](), true, "")
	return json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   report.Schema,
		"$ref":    ref,
		"$defs":   registry.Map(),
	}, "", "  ")
}
