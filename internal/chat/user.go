package chat

import "time"

// User is an account as other people see it.
type User struct {
	ID          UserID
	Name        string // unique, see package username
	DisplayName string
	Admin       bool // administers the installation
	Disabled    bool // can no longer log in
	CreatedAt   time.Time
	LastSeen    time.Time // when the last device went away; zero if never
}

// Presence is whether a person can be reached now.
type Presence string

// The presences.
const (
	Online  Presence = "online"
	Away    Presence = "away" // every device has been left alone for a while
	Offline Presence = "offline"
)
