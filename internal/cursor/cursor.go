// Package cursor authenticates cursors: positions that clients get and must send
// back unchanged, such as the end of a page, or what a device has seen. A cursor
// contains nothing secret, but one that was modified must be refused, so it has a
// message authentication code.
package cursor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// macBytes is the length of the code. It is short because a cursor alone gives no
// access.
const macBytes = 10

// maxLength is the maximum length of a cursor that is decoded, in bytes. A position
// in PostgreSQL names every transaction that ran, twice: with thousands of
// connections that is some 10 KiB.
const maxLength = 64 << 10

// Sealer seals and opens cursors. It is safe for concurrent use.
type Sealer struct{ key []byte }

// NewSealer returns a sealer with a key that is derived from the installation's
// secret.
func NewSealer(secret []byte) *Sealer {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("hikyaku cursor"))
	return &Sealer{key: mac.Sum(nil)}
}

func (s *Sealer) mac(purpose string, user chat.UserID, payload []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(binary.AppendUvarint(nil, uint64(len(purpose))))
	mac.Write([]byte(purpose))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(user)))
	mac.Write(payload)
	return mac.Sum(nil)[:macBytes]
}

// Seal returns a cursor with v as JSON. Only the same user can open it, for the
// same purpose. It panics when v cannot be marshalled.
func (s *Sealer) Seal(purpose string, user chat.UserID, v any) string {
	payload, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cursor: %T cannot be sealed: %v", v, err)) // a bug in the caller's types
	}
	return base64.RawURLEncoding.EncodeToString(append(s.mac(purpose, user, payload), payload...))
}

// Open decodes a cursor into v. A cursor that was not sealed with this key for this
// purpose and user is refused with CodeInvalid.
func (s *Sealer) Open(purpose string, user chat.UserID, sealed string, v any) error {
	refusal := chat.Refuse(chat.CodeInvalid, "cursor", "this cursor was not made by this installation for you; begin without one")
	if len(sealed) > maxLength {
		return refusal
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(b) < macBytes || !hmac.Equal(b[:macBytes], s.mac(purpose, user, b[macBytes:])) {
		return refusal
	}
	if err := json.Unmarshal(b[macBytes:], v); err != nil {
		return refusal
	}
	return nil
}
