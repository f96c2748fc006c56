package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"regexp"
	"slices"
)

// validSetupToken is what a link can hold as it is, too long to be guessed.
var validSetupToken = regexp.MustCompile(`^[A-Za-z0-9._~-]{16,200}$`)

func (c *Config) validateSetupToken() error {
	if c.SetupToken != "" && !validSetupToken.MatchString(c.SetupToken) {
		return errors.New("setup-token: it must have 16 to 200 letters, digits and . _ ~ -; give such as the output of openssl rand -hex 16")
	}
	return nil
}

// setupToken returns the token with which the first account is made: the operator's, or
// one that follows from the installation's secret, the same in all of its processes.
func (a *App) setupToken() string {
	if a.cfg.SetupToken != "" {
		return a.cfg.SetupToken
	}
	mac := hmac.New(sha256.New, a.backends.store.Secret())
	mac.Write([]byte("hikyaku setup"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// SetupPath returns the path of the page, below its URL, where the first account is
// made, or "" when there is an account or another process serves the API. It is a
// secret of the operator until then. The token is in the fragment, which browsers send
// to nobody.
func (a *App) SetupPath(ctx context.Context) (string, error) {
	if !slices.Contains(a.cfg.Roles, RoleAPI) {
		return "", nil
	}
	exists, err := a.backends.store.HasUsers(ctx)
	if err != nil || exists {
		return "", err
	}
	return "/register#" + a.setupToken(), nil
}
