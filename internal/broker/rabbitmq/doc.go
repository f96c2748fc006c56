// Package rabbitmq is the broker of a cluster, on RabbitMQ 3.10 or later.
//
// A conversation belongs to one of N partitions, and each partition is a
// durable quorum queue behind a direct exchange. A queue has a single active
// consumer, so one worker at a time handles a conversation, in order; the other
// workers stand by and take over when it goes (workers.go says who should).
//
// A publisher gathers what comes in for a partition while its last batch is on
// its way, and sends it as one AMQP message: quiet systems are not delayed and
// busy ones pay for a message once in a while (publish.go). A batch is
// confirmed when a majority of the nodes has written it to their disks; only
// then is a sender told "accepted" (G1).
//
// A worker acknowledges a batch after it is stored. What can never be stored
// goes to a queue of dead letters first (deadletters.go).
//
// Jobs for the pushers have a queue of their own that drops the oldest when it
// is full (push.go).
package rabbitmq
