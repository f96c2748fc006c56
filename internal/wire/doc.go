// Package wire has the JSON types of Hikyaku: the objects that the REST API and
// the WebSocket protocol hikyaku.v1 share, the protocol's frames, and their
// codec. The OpenAPI and AsyncAPI documents and the page's TypeScript types are
// generated from these types, so each field is defined once, here.
//
// # Versioning of hikyaku.v1
//
// A frame is one JSON object in one text message; "t" is its type. Both sides
// ignore types and fields that they do not know, so new ones can be added. The
// meaning of existing ones never changes: a change gets a new name, or, when that
// is not enough, a new subprotocol (hikyaku.v2) besides this one.
//
// Ids are decimal strings, times are milliseconds since 1970 (UTC).
package wire

// Subprotocol is the WebSocket subprotocol (RFC 6455, section 1.9) that
// clients must request.
const Subprotocol = "hikyaku.v1"
