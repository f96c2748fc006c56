package main

import (
	"fmt"
	"runtime/debug"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/asyncapi"
	"github.com/hikyaku-chat/hikyaku/internal/bench/htmlreport"
)

// specCommand prints the written form of the public interfaces and documents.
type specCommand struct {
	Which string `arg:"" enum:"openapi,asyncapi,bench" help:"openapi (the REST API), asyncapi (the socket protocol) or bench (the load tool's report, as JSON Schema)."`
}

// Run prints the document.
func (c *specCommand) Run(std streams) error {
	document := map[string]func() ([]byte, error){"openapi": api.OpenAPI, "asyncapi": asyncapi.Document, "bench": htmlreport.Schema}
	b, err := document[c.Which]()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s\n", b)
	return err
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintln(std.out, "hikyaku", version())
	return err
}

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release = ""

// version returns the release, or what the Go toolchain knows of the source.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
