package app

import (
	"cmp"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// validateLimits has each package validate its own limits, as the operator gave
// them: a zero is an error, and not the default. It returns the first error only.
func (c *Config) validateLimits() error {
	notifications := notifier.Config{}.WithDefaults()
	notifications.Delay = c.Push.Delay
	limits := c.Gateway
	limits.Linger = c.Linger // as in a cluster: a mistake is refused also where it has no effect
	return flagged(cmp.Or(
		setting.Between("drain", c.Drain, time.Second, time.Hour, "the time that a stop may take, such as 20s"),
		limits.Validate(),
		notifications.Validate(),
		c.Hash.Validate(),
		c.validateSetupToken(),
		setting.Between("hsts", c.HSTS, 0, 10*365*24*time.Hour, "the time that browsers stay with HTTPS, such as 8760h, or 0"),
		setting.Between("registrations", c.Registrations, 1, 1e6, "accounts that one network may make in a minute, such as 10"),
	))
}

// registrationRate returns how many accounts one network may make each second in the
// long run, and at once.
func (c *Config) registrationRate() (perSecond float64, burst int) {
	return float64(c.Registrations) / 60, 3 * c.Registrations
}

// flagged returns an error that begins with a flag instead of the setting's name.
func flagged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%w", err)
}
