// Package cursor seals what is handed to clients and must come back unchanged:
// where a page ended, what a device has seen. A cursor says nothing that its
// holder may not know, but one that was tampered with must be refused, not
// guessed at.
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

// macBytes is enough for something that opens nothing by itself.
const macBytes = 10

// maxLength bounds what is looked at.
const maxLength = 1024

// Sealer seals and opens cursors. It is safe for concurrent use.
type Sealer struct{ key []byte }

// NewSealer seals under the installation's secret.
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

// Seal makes a cursor that only the same user can open, for the same purpose.
func (s *Sealer) Seal(purpose string, user chat.UserID, v any) string {
	payload, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cursor: %T cannot be sealed: %v", v, err)) // a mistake in the caller's types
	}
	return base64.RawURLEncoding.EncodeToString(append(s.mac(purpose, user, payload), payload...))
}

// Open reads a cursor into v. What was not sealed here for this purpose and
// user is refused with CodeInvalid.
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
