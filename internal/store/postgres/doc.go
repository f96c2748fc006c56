// Package postgres keeps the store in PostgreSQL 15 or later, for any number of
// processes at once.
//
// # How it is kept
//
// Changes of one conversation take the lock of its row first; where there are
// several, in the order of their ids. So seq and rev are given in the
// transaction that stores, and no two transactions wait for each other in a
// ring.
//
// Messages lie in one partition for each month in which they were stored
// (months.go): an insert touches the latest alone, and old ones can be
// detached. Table spans says from which seq on a conversation's messages lie
// in which month, so that a page reads the partitions that it needs. Table
// sends keeps who sent what under which name for ever, also when the month is
// gone (G2).
//
// What a device asks after it was away goes by transaction ids (position.go).
//
// Nothing is kept in a database session, so PgBouncer may stand between in
// transaction mode.
package postgres
