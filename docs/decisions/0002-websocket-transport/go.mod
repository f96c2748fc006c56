module github.com/hikyaku-chat/hikyaku/docs/decisions/0002-websocket-transport

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/gobwas/ws v1.5.0
	github.com/hikyaku-chat/hikyaku v0.0.0
	github.com/lxzan/gws v1.8.9
)

require (
	github.com/dolthub/maphash v0.1.0 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/klauspost/compress v1.17.9 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace github.com/hikyaku-chat/hikyaku => ../../..
