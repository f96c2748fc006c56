// Package gateway serves the WebSocket connections of hikyaku.v1. For a frame
// from a client it does as little as possible before it publishes: parse,
// authorise, add the time. Frames for clients are encoded elsewhere; the gateway
// passes them to the connections of their recipients. It holds no state that
// cannot be rebuilt.
//
// # Goroutines
//
//   - A connection's event loop calls session.Message. It must not block, so it
//     handles only what needs no I/O: sends whose sender is a member according
//     to the cache, marks (coalesced), pings (answered in batches).
//   - Everything else of a session runs in its backlog: one goroutine, which
//     exists only while there is work, handles the session's frames in order.
//     While it runs, all frames of the session go through it, so their order is
//     kept.
//   - The bus calls Deliver, one envelope at a time. It must not block either:
//     the members of a large conversation that are not cached are loaded on
//     another goroutine.
package gateway
