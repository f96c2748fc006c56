package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits on what people may say and make.
const (
	MaxBody        = 16 << 10 // bytes of a message's text
	MaxTitle       = 80       // characters of a conversation's title
	MaxTopic       = 250      // characters of a conversation's topic
	MaxDisplayName = 50       // characters
	MinName        = 2        // characters of an account's name
	MaxName        = 32       // characters of an account's name
	MinPassword    = 8        // characters
	MaxPassword    = 256      // bytes; bounds the work of hashing
	MaxInvited     = 100      // people added in one request
	MaxMembers     = 50_000   // members of one conversation

	// SmallConversation is the largest number of members to whom a change is
	// delivered by recipient. Larger ones are delivered once per gateway, and
	// show no typing and no marks of single members.
	SmallConversation = 64
)

// CheckBody tells whether text can be a message: not blank, at most MaxBody
// bytes of UTF-8, no NUL (which no store could keep).
func CheckBody(text string) error {
	switch {
	case len(text) > MaxBody:
		return Refuse(CodeTooLarge, "body", "a message may have %d bytes, this one has %d", MaxBody, len(text))
	case !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0:
		return Refuse(CodeInvalid, "body", "a message must be UTF-8 text without NUL")
	case strings.TrimSpace(text) == "":
		return Refuse(CodeInvalid, "body", "a message must not be empty")
	}
	return nil
}

// CleanTitle gives the title as it is kept: trimmed, on one line. Channels and
// groups need one.
func CleanTitle(title string) (string, error) {
	return cleanLine("title", title, 1, MaxTitle)
}

// CleanTopic gives the topic as it is kept; it may be empty.
func CleanTopic(topic string) (string, error) {
	return cleanLine("topic", topic, 0, MaxTopic)
}

// CleanDisplayName gives the display name as it is kept.
func CleanDisplayName(name string) (string, error) {
	return cleanLine("display_name", name, 1, MaxDisplayName)
}

func cleanLine(field, s string, least, most int) (string, error) {
	if !utf8.ValidString(s) {
		return "", Refuse(CodeInvalid, field, "must be UTF-8 text")
	}
	s = strings.TrimSpace(s)
	for _, r := range s {
		// Controls and the marks that turn the direction of writing can
		// make one line look like another.
		if unicode.IsControl(r) || (r >= 0x202A && r <= 0x202E) || (r >= 0x2066 && r <= 0x2069) {
			return "", Refuse(CodeInvalid, field, "must be one line without control characters")
		}
	}
	n := utf8.RuneCountInString(s)
	switch {
	case n < least:
		return "", Refuse(CodeInvalid, field, "must not be empty")
	case n > most:
		return "", Refuse(CodeTooLarge, field, "may have %d characters, this has %d", most, n)
	}
	return s, nil
}
