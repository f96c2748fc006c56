package app

import (
	"cmp"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// validateLimits has each package judge the limits that are its own, as the
// operator gave them: a zero is refused, and not taken for the default. It
// returns the first error alone.
func (c *Config) validateLimits() error {
	notifications := notifier.Config{}.WithDefaults()
	notifications.Delay = c.Push.Delay
	return flagged(cmp.Or(
		setting.Between("drain", c.Drain, time.Second, time.Hour, "the time that a stop may take, such as 20s"),
		c.Gateway.Validate(),
		notifications.Validate(),
		c.Hash.Validate(),
	))
}

// flagged makes a flag of the setting's name with which a package's error begins.
func flagged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%w", err)
}
