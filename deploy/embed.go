// Package deploy holds the configuration of the servers that Hikyaku works
// with. Compose mounts the files, and package stack starts private processes
// with the very same text.
package deploy

import _ "embed" // the files are embedded

var (
	// Nginx is the template of the entrance; see its head for the variables.
	//
	//go:embed nginx/hikyaku.conf.template
	Nginx string
	// PostgreSQL is the server's settings.
	//
	//go:embed postgresql/postgresql.conf
	PostgreSQL string
	// RabbitMQ is each node's settings.
	//
	//go:embed rabbitmq/rabbitmq.conf
	RabbitMQ string
	// RabbitMQAdvanced is what RabbitMQ has no place for, in Erlang's terms.
	//
	//go:embed rabbitmq/advanced.config
	RabbitMQAdvanced string
	// Redis is the server's settings.
	//
	//go:embed redis/redis.conf
	Redis string
)
