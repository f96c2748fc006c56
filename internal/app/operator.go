package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/username"
)

// Operator manages an installation and its accounts, without a browser and besides
// running servers.
type Operator struct {
	store  store.Store
	hasher *password.Hasher
}

// OpenOperator opens the database, or the data folder dir when database is empty.
// It creates a missing data folder only if create is true.
func OpenOperator(ctx context.Context, database, dir string, create bool, log *slog.Logger) (*Operator, error) {
	hasher, err := password.NewHasher(password.Config{})
	if err != nil {
		return nil, err
	}
	var st store.Store
	if _, err := os.Stat(dir); database == "" && !create && errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--data: there is no installation in %s; give the folder of the one that you mean, or --database", dir)
	}
	if database != "" {
		st, err = postgres.Open(ctx, postgres.Config{URL: database, Connections: 2, Logger: log})
	} else {
		st, err = openData(ctx, dir, operatorNode, log)
	}
	if err != nil {
		return nil, err
	}
	return &Operator{store: st, hasher: hasher}, nil
}

// Close closes the store.
func (o *Operator) Close() error { return o.store.Close() }

// NewEpoch begins another epoch: running servers have all clients connect again
// within seconds, and devices look at everything anew.
func (o *Operator) NewEpoch(ctx context.Context) (string, error) { return o.store.NewEpoch(ctx) }

// AddUser creates an account, whatever the mode of registration.
func (o *Operator) AddUser(ctx context.Context, name, display, secret string, admin bool) (chat.User, error) {
	canonical, skeleton, err := username.New(name)
	if err != nil {
		return chat.User{}, err
	}
	if display == "" {
		display = name
	}
	if display, err = chat.CleanDisplayName(display); err != nil {
		return chat.User{}, err
	}
	hash, err := o.hash(ctx, canonical, secret)
	if err != nil {
		return chat.User{}, err
	}
	return o.store.CreateUser(ctx, store.NewUser{
		Name: canonical, Skeleton: skeleton, DisplayName: display, Password: hash, Admin: admin,
	}, nil)
}

func (o *Operator) hash(ctx context.Context, name, secret string) (string, error) {
	if err := password.Check(secret, name); err != nil {
		return "", err
	}
	return o.hasher.Hash(ctx, secret)
}

// EachUser calls f for every account, in the order of names.
func (o *Operator) EachUser(ctx context.Context, f func(chat.User)) error {
	const page = 200
	after := ""
	for {
		users, err := o.store.AllUsers(ctx, "", after, page)
		if err != nil {
			return err
		}
		for _, u := range users {
			f(u)
			after = u.Name
		}
		if len(users) < page {
			return nil
		}
	}
}

func (o *Operator) find(ctx context.Context, name string) (chat.User, error) {
	canonical, err := username.Canonical(name)
	if err != nil {
		return chat.User{}, err
	}
	u, _, err := o.store.Credentials(ctx, canonical)
	if chat.CodeOf(err) == chat.CodeNotFound {
		return u, chat.Refuse(chat.CodeNotFound, "", "there is no account %s; hikyaku user list shows all", canonical)
	}
	return u, err
}

// tokenDevice is the device name of sessions that an operator created.
const tokenDevice = "hikyaku user token"

// NewToken creates a session of an account for a program and returns its token. The
// session ends when it was not used for lifetime. The token cannot be read again.
func (o *Operator) NewToken(ctx context.Context, name string, lifetime time.Duration) (string, error) {
	u, err := o.find(ctx, name)
	if err != nil {
		return "", err
	}
	if u.Disabled {
		return "", chat.Refuse(chat.CodeForbidden, "", "the account %s is locked; hikyaku user enable unlocks it", u.Name)
	}
	token, hash := auth.NewToken()
	now := time.Now()
	_, err = o.store.CreateSession(ctx, store.Session{
		User: u.ID, Token: hash, Device: tokenDevice, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(lifetime),
	})
	return token, err
}

// SetPassword changes the password of an account and ends its sessions. A running
// server closes their connections at its next check, within seconds.
func (o *Operator) SetPassword(ctx context.Context, name, secret string) error {
	u, err := o.find(ctx, name)
	if err != nil {
		return err
	}
	hash, err := o.hash(ctx, u.Name, secret)
	if err != nil {
		return err
	}
	if _, err := o.store.UpdateUser(ctx, u.ID, store.UserChange{Password: &hash}); err != nil {
		return err
	}
	_, err = o.store.DeleteSessions(ctx, u.ID, nil, 0)
	return err
}

// SetDisabled disables an account, which ends its sessions as SetPassword does, or
// enables it.
func (o *Operator) SetDisabled(ctx context.Context, name string, disabled bool) error {
	u, err := o.find(ctx, name)
	if err != nil {
		return err
	}
	_, err = o.store.UpdateUser(ctx, u.ID, store.UserChange{Disabled: &disabled})
	return err
}
