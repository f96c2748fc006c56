package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// conn is one connection with its prepared statements. It uses the driver
// without the pool of database/sql, because each connection has one owner at a
// time anyway: the writer, or the reader that borrowed it. That saves a third of
// the cost of a small statement.
type conn struct {
	raw   driver.Conn
	stmts map[string]*stmt
	dest  []driver.Value
}

// stmt is a prepared statement.
type stmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// row is a row of a result, valid until the next one.
type row []driver.Value

func (r row) int(i int) int64 { n, _ := r[i].(int64); return n }

func (r row) text(i int) string { s, _ := r[i].(string); return s }

func (r row) blob(i int) []byte { b, _ := r[i].([]byte); return b }

func (r row) bool(i int) bool { return r.int(i) != 0 }

func (r row) null(i int) bool { return r[i] == nil }

// time reads a time stored in milliseconds; 0 and NULL are the zero time.
func (r row) time(i int) time.Time { return fromMillis(r.int(i)) }

func (r row) user(i int) chat.UserID { return chat.UserID(r.int(i)) }

// prepare returns the statement for an SQL text, prepared once per connection.
// Callers pass constants, or a small number of different texts. They write
// LIMIT +? instead of LIMIT ?, because the planner looks at a bare parameter
// there and plans the statement again whenever it is bound, a fifth of a page's
// cost.
func (c *conn) prepare(query string) (*stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	raw, err := c.raw.Prepare(query)
	if err != nil {
		return nil, err
	}
	s, ok := raw.(stmt)
	if !ok {
		return nil, errors.New("the driver's statements lack context methods")
	}
	c.stmts[query] = &s
	return &s, nil
}

// exec runs a statement and returns how many rows it changed.
func (c *conn) exec(query string, args ...any) (int64, error) {
	named, err := values(args)
	if err != nil {
		return 0, err
	}
	return c.execNamed(query, named)
}

func (c *conn) execNamed(query string, args []driver.NamedValue) (int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	// Statements have no deadline: an interrupted one would roll back the
	// transaction that it shares with others.
	res, err := (*s).ExecContext(context.Background(), args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a statement and calls fn for each row.
func (c *conn) query(query string, fn func(row) error, args ...any) (err error) {
	named, err := values(args)
	if err != nil {
		return err
	}
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := (*s).QueryContext(context.Background(), named)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	n := len(rows.Columns())
	dest := c.dest
	c.dest = nil // fn may query again
	if cap(dest) < n {
		dest = make([]driver.Value, n)
	}
	dest = dest[:n]
	defer func() { c.dest = dest }()
	for {
		switch err := rows.Next(dest); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := fn(dest); err != nil {
			return err
		}
	}
}

// queryRow runs a statement that returns at most one row, and reports whether
// there was one.
func (c *conn) queryRow(query string, fn func(row), args ...any) (found bool, err error) {
	err = c.query(query, func(r row) error {
		found = true
		fn(r)
		return nil
	}, args...)
	return found, err
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, (*s).Close())
	}
	c.stmts = nil
	return errors.Join(append(errs, c.raw.Close())...)
}

// values converts arguments for the driver.
func values(args []any) ([]driver.NamedValue, error) {
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		v, err := value(a)
		if err != nil {
			return nil, err
		}
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out, nil
}

func value(a any) (driver.Value, error) {
	switch v := a.(type) {
	case nil, int64, string, bool:
		return v, nil
	case []byte:
		if v == nil {
			return []byte{}, nil // a nil slice would be NULL
		}
		return v, nil
	case int:
		return int64(v), nil
	case chat.UserID:
		return int64(v), nil
	case chat.ConversationID:
		return int64(v), nil
	case chat.MessageID:
		return int64(v), nil
	case chat.SessionID:
		return int64(v), nil
	case chat.Role:
		return string(v), nil
	case chat.Kind:
		return string(v), nil
	case time.Time:
		return millis(v), nil
	}
	return nil, fmt.Errorf("no SQL value for a %T", a)
}

// millis returns a time as it is stored; 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
