package stack

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"syscall"
)

// The loopback address is open to everybody who has an account on the machine,
// and a server runs as whoever started it: one that let anybody in would let
// them do what that user may. So each folder has secrets of its own, which are
// passed in files and in environments, where only their owner can read them, and
// never on a command line.

// secrets are the secrets of a folder's servers.
type secrets struct {
	password string // of every server's administrator
	cookie   string // by which Erlang's nodes know each other
}

// newSecrets generates secrets that need no escaping in addresses and settings.
func newSecrets() secrets { return secrets{password: rand.Text(), cookie: rand.Text()} }

// secretFile writes a file in the folder that only one account can read: this
// process's own if owner is nil.
func (f *Folder) secretFile(name, text string, owner *syscall.Credential) (path string, err error) {
	path = filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	if owner != nil {
		err = os.Chown(path, int(owner.Uid), int(owner.Gid))
	}
	return path, err
}
