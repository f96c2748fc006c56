// Package rabbitmq is the broker of a cluster, on RabbitMQ 3.10 or later.
//
// A conversation belongs to one of N partitions, and each partition is a
// durable quorum queue behind a direct exchange. A queue has a single active
// consumer, so one worker at a time handles a conversation, in order. The other
// workers stand by and take over when it leaves; membership.go decides which
// worker should own which partition, and sharing.go how many own some.
//
// A publisher gathers the submissions of a partition while its previous batch is
// being published, and publishes them as one AMQP message: an idle system adds
// no delay, and a busy one pays for few messages (publish.go). A batch is
// confirmed when a majority of the nodes has written it to disk; only then does
// the sender get "accepted" (G1).
//
// A worker acknowledges a batch after it is stored (batcher.go). What can never
// be stored is first published to the dead letter queue (deadletters.go).
//
// Jobs for notifiers have a queue of their own that drops the oldest when it is
// full (notifyqueue.go).
package rabbitmq
