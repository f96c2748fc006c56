package webpushtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// verifyVAPID verifies an Authorization header by RFC 8292 and returns the sender's
// public key.
func verifyVAPID(header, origin string, now time.Time) (string, error) {
	params, ok := strings.CutPrefix(header, "vapid ")
	if !ok {
		return "", errors.New("the scheme is not vapid")
	}
	var token, key string
	for p := range strings.SplitSeq(params, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(p), "="); name {
		case "t":
			token = value
		case "k":
			key = value
		}
	}
	enc := base64.RawURLEncoding
	point, err := enc.DecodeString(key)
	if err != nil {
		return "", fmt.Errorf("k=: %w", err)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return "", fmt.Errorf("k=: %w", err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("the token has %d parts", len(parts))
	}
	var head struct{ Alg, Typ string }
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	for i, into := range []any{&head, &claims} {
		b, err := enc.DecodeString(parts[i])
		if err != nil {
			return "", fmt.Errorf("the token: %w", err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			return "", fmt.Errorf("the token: %w", err)
		}
	}
	signature, err := enc.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return "", errors.New("the signature is not 64 bytes")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	rr, ss := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	exp := time.Unix(claims.Exp, 0)
	switch {
	case head.Alg != "ES256":
		return "", fmt.Errorf("the algorithm is %q", head.Alg)
	case !ecdsa.Verify(public, sum[:], rr, ss):
		return "", errors.New("the signature is not by the key k=")
	case claims.Aud != origin:
		return "", fmt.Errorf("aud is %q instead of %q", claims.Aud, origin)
	case !exp.After(now) || exp.After(now.Add(24*time.Hour)):
		return "", fmt.Errorf("exp is %v, not within a day from %v", exp, now)
	}
	if address, ok := strings.CutPrefix(claims.Sub, "mailto:"); ok {
		if !strings.Contains(address, "@") || strings.Contains(address, ":") {
			return "", fmt.Errorf("sub is %q", claims.Sub)
		}
	} else if !strings.HasPrefix(claims.Sub, "https://") {
		return "", fmt.Errorf("sub is %q", claims.Sub)
	}
	return key, nil
}

// decrypt decrypts an aes128gcm body (RFC 8188) of one record that was encrypted for a
// device by RFC 8291.
func decrypt(device *ecdh.PrivateKey, auth, body []byte) ([]byte, error) {
	const head = 16 + 4 + 1
	if len(body) < head {
		return nil, errors.New("it is too short")
	}
	salt, size, idLen := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	body = body[head:]
	if len(body) < idLen {
		return nil, errors.New("it is too short")
	}
	id, record := body[:idLen], body[idLen:]
	sender, err := ecdh.P256().NewPublicKey(id)
	if err != nil {
		return nil, fmt.Errorf("the sender's key: %w", err)
	}
	if size < 18 || uint64(len(record)) > uint64(size) {
		return nil, fmt.Errorf("it has more than one record of %d bytes", size)
	}
	secret, err := device.ECDH(sender)
	if err != nil {
		return nil, fmt.Errorf("agree on a key: %w", err)
	}
	info := "WebPush: info\x00" + string(device.PublicKey().Bytes()) + string(id)
	ikm, err := hkdf.Key(sha256.New, secret, auth, info, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, fmt.Errorf("derive the nonce: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	plain = bytes.TrimRight(plain, "\x00")
	content, ok := bytes.CutSuffix(plain, []byte{2}) // the delimiter of the last record
	if !ok {
		return nil, errors.New("the padding does not begin with the delimiter of the last record")
	}
	return content, nil
}
