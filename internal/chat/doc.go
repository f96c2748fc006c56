// Package chat is the domain model of Hikyaku: conversations, messages and
// members, and the rules about them. It does not depend on a database, a broker
// or HTTP, and imports the standard library only.
//
// # Seq and Rev
//
// A conversation numbers its messages with Seq (1, 2, 3 … without a gap) and its
// changes with Rev. Every message, edit, deletion, rename and change of
// membership gets the next Rev; a message has the Rev of its last change. So a
// device that has seen a conversation up to Rev n gets everything it misses when
// it asks for changes with a Rev above n, and it detects a lost push because the
// next one does not have n+1.
//
// MembersRev is the Rev of the last change of membership. Whoever delivers to a
// conversation compares it with its cached list of members, so that a stale list
// is detected before anything is sent (G7).
package chat
