// Package chat is the domain of Hikyaku: what a conversation, a message and a
// member are, and what each may do. It knows no database, broker, socket or
// HTTP, and imports the standard library only.
//
// # Two counters carry every promise
//
// A conversation counts its messages with Seq (1, 2, 3 … without a hole) and
// its changes with Rev. Every message, edit, delete, rename and change of
// membership takes the next Rev; a message keeps the Rev of the change that
// gave it its present form. A device that knows a conversation up to Rev n
// therefore has everything when it asks for what has a Rev above n, and it
// notices a lost push because the next one does not carry n+1.
//
// MembersRev is the Rev of the last change of membership. Whoever delivers to
// a conversation compares it with the membership that they hold, so that a
// stale list of members is noticed before anything leaves (G7).
package chat
