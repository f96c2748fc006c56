package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// A secret may stand in a file of its own instead of the command line or the
// environment, which other programs can read. The address of a server is one,
// for the password in it.

// databaseFlags say where PostgreSQL is.
type databaseFlags struct {
	Database     string `help:"PostgreSQL, the primary: postgres://user:password@host:5432/hikyaku." placeholder:"URL"`
	DatabaseFile string `help:"File that holds --database." placeholder:"FILE"`
}

func (f *databaseFlags) url() (string, error) { return secret("database", f.Database, f.DatabaseFile) }

// brokerFlags say where RabbitMQ is.
type brokerFlags struct {
	Broker     []string `help:"RabbitMQ: amqp://user:password@host:5672/vhost, once for each node." placeholder:"URL"`
	BrokerFile string   `help:"File that holds --broker, one address in a line." placeholder:"FILE"`
	Partitions int      `default:"4" help:"Number of queues that conversations are distributed over; the same in all processes of an installation; see docs/operations.md for how it is changed (${default})." placeholder:"N"`
}

func (f *brokerFlags) urls() ([]string, error) { return secrets("broker", f.Broker, f.BrokerFile) }

// secret returns a value, or the content of its file.
func secret(name, value, file string) (string, error) {
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("--%s and --%s-file are both given; give one", name, name)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return "", fmt.Errorf("--%s-file: %s cannot be read: %w", name, file, err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("--%s-file: %s is empty", name, file)
	}
	return text, nil
}

// secrets returns values, or the lines of their file; commas separate values as
// well.
func secrets(name string, values []string, file string) ([]string, error) {
	text, err := secret(name, strings.Join(values, ","), file)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }), nil
}
