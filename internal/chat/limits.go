package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits on what users may send and create.
const (
	MaxBody        = 16 << 10 // bytes of a message's text
	MaxTitle       = 80       // characters of a conversation's title
	MaxTopic       = 250      // characters of a conversation's topic
	MaxDisplayName = 50       // characters
	MinName        = 2        // characters of an account's name
	MaxName        = 32       // characters of an account's name
	MinPassword    = 10       // characters
	MaxPassword    = 256      // bytes; limits the work of hashing
	MaxInvited     = 100      // people added in one request
	MaxMembers     = 50_000   // members of one conversation

	// SmallConversation is the maximum number of members of a conversation whose
	// changes are delivered by recipient. Changes of larger ones are sent once to
	// each gateway, and typing and marks of single members are not sent.
	SmallConversation = 64
)

// CheckBody returns a refusal unless text can be a message: visible, at most
// MaxBody bytes of UTF-8, no control characters of ASCII but tab and the ends of
// lines. These show nothing, some of them in JSON are six bytes each, and a NUL
// cannot be stored. A carriage return is kept as it was sent: to change the text
// would make the same message another one when it is sent again.
//
// Messages from before a rule stay as they are stored.
func CheckBody(text string) error {
	switch {
	case len(text) > MaxBody:
		return Refuse(CodeTooLarge, "body", "a message may have %d bytes, this one has %d", MaxBody, len(text))
	case !utf8.ValidString(text):
		return Refuse(CodeInvalid, "body", "a message must be UTF-8 text")
	case strings.TrimSpace(text) == "":
		return Refuse(CodeInvalid, "body", "a message must not be empty")
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7F {
			return Refuse(CodeInvalid, "body", "a message must not contain control characters besides tab and line breaks; it has U+%04X at byte %d", c, i+1)
		}
	}
	if !isVisible(text) {
		return Refuse(CodeInvalid, "body", "a message must show something; this one has invisible characters only, such as U+%04X", firstInvisible(text))
	}
	return nil
}

// CleanTitle returns the title as it is stored: trimmed, on one line. Channels and
// groups must have one.
func CleanTitle(title string) (string, error) {
	return cleanLine("title", title, 1, MaxTitle)
}

// CleanTopic returns the topic as it is stored; it may be empty.
func CleanTopic(topic string) (string, error) {
	return cleanLine("topic", topic, 0, MaxTopic)
}

// CleanDisplayName returns the display name as it is stored.
func CleanDisplayName(name string) (string, error) {
	return cleanLine("display_name", name, 1, MaxDisplayName)
}

func cleanLine(field, s string, least, most int) (string, error) {
	if !utf8.ValidString(s) {
		return "", Refuse(CodeInvalid, field, "must be UTF-8 text")
	}
	s = strings.TrimSpace(s)
	for _, r := range s {
		// Control characters and marks that change the direction of writing can
		// make one line look like another.
		if unicode.IsControl(r) || (r >= 0x202A && r <= 0x202E) || (r >= 0x2066 && r <= 0x2069) {
			return "", Refuse(CodeInvalid, field, "must be one line without control characters")
		}
	}
	n := utf8.RuneCountInString(s)
	switch {
	case n < least:
		return "", Refuse(CodeInvalid, field, "must not be empty")
	case n > 0 && !isVisible(s):
		return "", Refuse(CodeInvalid, field, "must show something; this has invisible characters only, such as U+%04X", firstInvisible(s))
	case n > most:
		return "", Refuse(CodeTooLarge, field, "may have %d characters, this has %d", most, n)
	}
	return s, nil
}
