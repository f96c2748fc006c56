package chat

import "time"

// User is an account.
type User struct {
	ID          UserID
	Name        string // unique, see package username
	DisplayName string
	Admin       bool // administers the installation
	Disabled    bool // can no longer log in
	CreatedAt   time.Time
	LastSeen    time.Time // when the last device disconnected; zero if never
}

// Presence is whether a user is online.
type Presence string

// The values of Presence.
const (
	Online  Presence = "online"
	Away    Presence = "away" // the user is not active on any device
	Offline Presence = "offline"
)
