// Package wire is the public form of Hikyaku: the JSON objects that the REST
// API and the socket protocol hikyaku.v1 share, the protocol's frames, and
// their codec. OpenAPI, AsyncAPI and the page's TypeScript types are made from
// these types, so a field is written down once, here.
//
// # Versioning of hikyaku.v1
//
// A frame is one JSON object in one text message; "t" says its type. Either
// side ignores types and fields that it does not know, so both can grow. What
// exists never changes its meaning; what must change gets a new name, and when
// that no longer helps, a new subprotocol (hikyaku.v2) beside this one.
//
// Ids are decimal strings, times are milliseconds since 1970 (UTC).
package wire

// Subprotocol is the WebSocket subprotocol (RFC 6455, section 1.9) that
// clients must ask for.
const Subprotocol = "hikyaku.v1"
