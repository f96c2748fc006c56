// Package postgres implements the store in PostgreSQL 15 or later, for any number
// of processes.
//
// # Design
//
// A change of a conversation locks the conversation's row first; several rows are
// locked in the order of their ids. So seq and rev are assigned in the
// transaction that stores, and transactions do not deadlock.
//
// Messages are partitioned by the month in which they were stored
// (partitions.go): an insert uses only the latest partition, and old ones can be
// detached. Table spans says from which seq on a conversation's messages are in
// which month, so that a page reads only the partitions that it needs. Table
// sends keeps the client ids of all messages for ever, also when their month is
// detached (G2), and those of failures, with seq 0, as long as they are kept
// (failures.go).
//
// What a device reads when it reconnects is based on transaction ids
// (position.go).
//
// No state is kept in a database session, so PgBouncer can be used in transaction
// mode.
package postgres
