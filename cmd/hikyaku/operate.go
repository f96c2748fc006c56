package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
)

// migrateCommand prepares a database before the first start and before each
// newer release.
type migrateCommand struct {
	databaseFlags
	BrokerMoved bool `help:"RabbitMQ was replaced, or the number of partitions changes; the old queues are empty and no process uses them."`
}

// Run migrates.
func (c *migrateCommand) Run(ctx context.Context, std streams) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	if url == "" {
		return errors.New("--database: which database? The embedded one is brought up to date by hikyaku serve itself")
	}
	if err := app.Migrate(ctx, url, slog.New(slog.NewTextHandler(std.err, nil))); err != nil {
		return err
	}
	if c.BrokerMoved {
		if err := app.ForgetBroker(ctx, url); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(std.out, "The database is up to date.")
	return err
}

// epochCommands are for an operator who has put back a copy of the data.
type epochCommands struct {
	storeFlags

	New epochNew `cmd:"" help:"Begin a new epoch, also while servers run: after a copy of the embedded database, or of PostgreSQL's files, was put back. What PostgreSQL can tell by itself (a dump, a failover) needs no command."`
}

type epochNew struct{}

// Run begins an epoch.
func (c *epochNew) Run(ctx context.Context, std streams, all *epochCommands) error {
	return all.operator(ctx, std, func(op *app.Operator) error {
		if _, err := op.NewEpoch(ctx); err != nil {
			return err
		}
		_, err := fmt.Fprintln(std.out, "A new epoch has begun: devices look at everything anew.")
		return err
	})
}

// healthcheckTimeout is longer than a server takes to report its state, also
// when a server that it depends on is away (2 s), and shorter than the timeout
// of the program that runs the command: so that one gets the reason.
const healthcheckTimeout = 3 * time.Second

// healthcheckCommand requests a server's readiness, for images that contain no
// other program.
type healthcheckCommand struct {
	URL    string `help:"Address of the server (the one of --listen)." placeholder:"URL"`
	Listen string `default:"127.0.0.1:8080" help:"Address and port that the server listens on (${default})." placeholder:"ADDR"`
}

// Run asks.
func (c *healthcheckCommand) Run(ctx context.Context, std streams) error {
	base := c.URL
	if base == "" {
		host, port, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return fmt.Errorf("--listen: %q is not an address and port, such as 127.0.0.1:8080", c.Listen)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		base = "http://" + net.JoinHostPort(host, port)
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if r.URL.Scheme != "http" && r.URL.Scheme != "https" || r.URL.Host == "" {
		return fmt.Errorf("--url: %q is not an address such as http://127.0.0.1:8080", c.URL)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("nobody answers (%w); check that the server runs, and its address (--listen or --url)", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 16<<10))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	var report map[string]string
	if err := json.Unmarshal(body, &report); err != nil {
		return fmt.Errorf("what answers %s is not a server of Hikyaku; check the address (--listen or --url)", r.URL)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: %s", strings.TrimSpace(string(body)))
	}
	_, err = std.out.Write(body)
	return err
}

// deadletterCommands are for an operator when accepted messages could not be
// stored.
type deadletterCommands struct {
	brokerFlags

	List    deadletterList    `cmd:"" help:"List all dead letters, the oldest first."`
	Show    deadletterShow    `cmd:"" help:"Show one dead letter as JSON."`
	Requeue deadletterRequeue `cmd:"" help:"Requeue one dead letter, or all."`
}

func (c *deadletterCommands) open(ctx context.Context, do func(*app.DeadLetterStore) error) error {
	urls, err := c.urls()
	if err != nil {
		return err
	}
	if len(urls) == 0 {
		return errors.New("--broker: which RabbitMQ? The embedded broker refuses at once what cannot be stored, so it has no dead letters")
	}
	g, err := app.OpenDeadLetterStore(ctx, urls, c.Partitions)
	if err != nil {
		return err
	}
	return errors.Join(do(g), g.Close())
}

type deadletterList struct{}

// Run lists.
func (c *deadletterList) Run(ctx context.Context, std streams, all *deadletterCommands) error {
	return all.open(ctx, func(g *app.DeadLetterStore) error {
		w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tGIVEN UP\tCONVERSATION\tSENDER\tREASON")
		err := g.Each(func(l app.DeadLetter) bool {
			conversation, sender := "?", "?"
			if l.Submission != nil {
				conversation, sender = l.Submission.Conversation.String(), l.Submission.Sender.String()
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.ID, l.At.Format(time.RFC3339), conversation, sender, l.Reason)
			return true
		})
		return errors.Join(err, w.Flush())
	})
}

type deadletterShow struct {
	ID string `arg:"" help:"Id of the dead letter."`
}

// Run shows one. A message's text is its author's; this is the only place that
// shows it to an operator, who asked for it by its id.
func (c *deadletterShow) Run(ctx context.Context, std streams, all *deadletterCommands) error {
	return all.open(ctx, func(g *app.DeadLetterStore) error {
		l, err := g.Find(c.ID)
		if err != nil {
			return err
		}
		out := struct {
			ID           string    `json:"id"`
			At           time.Time `json:"given_up"`
			Code         string    `json:"code"`
			Reason       string    `json:"reason"`
			Conversation string    `json:"conversation,omitempty"`
			Sender       string    `json:"sender,omitempty"`
			MessageID    string    `json:"message_id,omitempty"`
			Body         string    `json:"body,omitempty"`
			Raw          []byte    `json:"raw,omitempty"` // only what cannot be read
		}{ID: l.ID, At: l.At, Code: string(l.Code), Reason: l.Reason}
		if s := l.Submission; s != nil {
			out.Conversation, out.Sender, out.MessageID, out.Body = s.Conversation.String(), s.Sender.String(), s.ClientID.String(), s.Body
		} else {
			out.Raw = l.Raw
		}
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(out)
	})
}

type deadletterRequeue struct {
	ID  string `arg:"" optional:"" help:"Id of the dead letter."`
	All bool   `help:"Requeue all."`
}

// Run sends again.
func (c *deadletterRequeue) Run(ctx context.Context, std streams, all *deadletterCommands) error {
	if c.All == (c.ID != "") {
		return errors.New("give the id of one dead letter, or --all")
	}
	return all.open(ctx, func(g *app.DeadLetterStore) error {
		ids := []string{c.ID}
		if c.All {
			ids = nil
			if err := g.Each(func(l app.DeadLetter) bool {
				if l.Submission != nil {
					ids = append(ids, l.ID)
				}
				return true
			}); err != nil {
				return err
			}
		}
		if len(ids) == 0 {
			_, err := fmt.Fprintln(std.out, "There are no dead letters to send again.")
			return err
		}
		for _, id := range ids {
			if err := g.Requeue(ctx, id); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			if _, err := fmt.Fprintf(std.out, "%s was sent again.\n", id); err != nil {
				return err
			}
		}
		return nil
	})
}
