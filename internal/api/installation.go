package api

import (
	"context"
	"net/http"
)

const installationName = "Hikyaku"

// Installation is public information about the installation.
type Installation struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	Registration Registration `json:"registration" enum:"open,invitation,closed"`
	FirstAccount bool         `json:"first_account" doc:"true as long as there is no account; the first one administers the installation, and is made by whoever has the link that the server prints when it starts"`
}

func (a *API) registerInstallation() {
	handle(a, operation{id: "get-installation", method: http.MethodGet, path: "/installation", tag: "Accounts", summary: "What everyone may know", public: true},
		func(ctx context.Context, _ *empty) (*body[Installation], error) {
			exists, err := a.cfg.Store.HasUsers(ctx)
			if err != nil {
				return nil, err
			}
			return &body[Installation]{Installation{Name: installationName, Version: a.cfg.Version, Registration: a.cfg.Registration, FirstAccount: !exists}}, nil
		})
}
