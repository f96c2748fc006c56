// Package gateway holds the sockets of hikyaku.v1. On the way in it does as
// little as possible before the publish: parse, authorise, stamp. On the way
// out it hands frames that others encoded to the sockets of the people that
// they are for. It keeps nothing that cannot be rebuilt.
//
// # Who runs what
//
//   - A socket's loop calls session.Message. It must not block, so it does
//     only what memory can answer: sends whose sender is known to be a member,
//     marks (coalesced), pings (answered in batches).
//   - Everything else of a session runs in its backlog: one goroutine, there
//     only while there is work, takes the session's frames in order. While it
//     runs, all frames of the session go through it, so their order holds.
//   - The bus calls Deliver, one envelope at a time. It must not block either;
//     large rooms whose members are not at hand are loaded aside.
package gateway
