// Package asyncapi generates the AsyncAPI 3 document of the WebSocket protocol
// hikyaku.v1 from the Go types in package wire.
package asyncapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const schemas = "#/components/schemas/"

// Frame is the description of a frame for the documentation page.
type Frame struct {
	Name       string
	Summary    string
	FromClient bool
	Fields     []Field
}

// Field is a field of a frame.
type Field struct{ Name, Type, Doc string }

// Frames returns all frames, those of clients first.
func Frames() []Frame {
	registry := huma.NewMapRegistry(schemas, huma.DefaultSchemaNamer)
	out := make([]Frame, 0, len(wire.FrameTypes))
	for _, f := range wire.FrameTypes {
		schema := registry.SchemaFromRef(registry.Schema(reflect.TypeOf(f.Value), true, "").Ref)
		frame := Frame{Name: strings.Join(f.Names, ", "), Summary: f.Summary, FromClient: f.FromClient}
		for name, p := range schema.Properties {
			if name != "t" {
				frame.Fields = append(frame.Fields, Field{Name: name, Type: typeName(p), Doc: p.Description})
			}
		}
		sort.Slice(frame.Fields, func(i, j int) bool { return frame.Fields[i].Name < frame.Fields[j].Name })
		out = append(out, frame)
	}
	return out
}

func typeName(s *huma.Schema) string {
	switch {
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, schemas)
	case s.Type == huma.TypeArray:
		return "list of " + typeName(s.Items)
	}
	return s.Type
}

type object = map[string]any

// Document returns the AsyncAPI 3.0 document, in JSON.
func Document() ([]byte, error) {
	registry := huma.NewMapRegistry(schemas, huma.DefaultSchemaNamer)
	messages, channelMessages := object{}, object{}
	sent, received := []object{}, []object{}
	for _, f := range wire.FrameTypes {
		t := reflect.TypeOf(f.Value)
		ref := registry.Schema(t, true, "").Ref
		name := strings.TrimPrefix(ref, schemas)
		messages[name] = object{
			"name": strings.Join(f.Names, ", "), "title": name, "summary": f.Summary,
			"contentType": "application/json", "payload": object{"$ref": ref},
		}
		channelMessages[name] = object{"$ref": "#/components/messages/" + name}
		entry := object{"$ref": "#/channels/socket/messages/" + name}
		if f.FromClient {
			received = append(received, entry)
		} else {
			sent = append(sent, entry)
		}
	}
	// Unknown fields are ignored by both sides, so no schema forbids them.
	for _, schema := range registry.Map() {
		schema.AdditionalProperties = nil
	}
	document := object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Hikyaku " + wire.Subprotocol, "version": "1",
			"description": "What is live in Hikyaku. A frame is one JSON object in one WebSocket text message; t says its type. " +
				"Either side ignores types and fields that it does not know. Ids are decimal strings, times are milliseconds since 1970 (UTC).",
		},
		"channels": object{"socket": object{
			"address":     "/api/v1/socket",
			"description": "A WebSocket with the subprotocol " + wire.Subprotocol + ", under the same session as the REST API. With ?account=ID it is refused (412) when the session is another account's.",
			"messages":    channelMessages,
		}},
		"operations": object{
			"fromClient": object{"action": "receive", "channel": object{"$ref": "#/channels/socket"}, "messages": received},
			"toClient":   object{"action": "send", "channel": object{"$ref": "#/channels/socket"}, "messages": sent},
		},
		"components": object{"messages": messages, "schemas": registry.Map()},
	}
	b, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the AsyncAPI document: %w", err)
	}
	return b, nil
}
