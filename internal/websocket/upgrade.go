package websocket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for SHA-1; nothing secret depends on it
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// UpgradeError is the refusal of an upgrade. Nothing was written to the client.
type UpgradeError struct {
	Status int
	Text   string
}

func (e *UpgradeError) Error() string { return e.Text }

// StatusCode returns the HTTP status of the refusal.
func (e *UpgradeError) StatusCode() int { return e.Status }

// checkUpgrade checks the requirements of RFC 6455, section 4.2.1, and returns
// the request's key.
func checkUpgrade(r *http.Request, subprotocol string) (key string, err error) {
	bad := func(text string) (string, error) { return "", &UpgradeError{http.StatusBadRequest, text} }
	switch {
	case r.Method != http.MethodGet:
		return "", &UpgradeError{http.StatusMethodNotAllowed, "a socket is opened with GET"}
	case !r.ProtoAtLeast(1, 1):
		return bad("a socket needs HTTP/1.1")
	case !hasToken(r.Header, "Connection", "upgrade"), !hasToken(r.Header, "Upgrade", "websocket"):
		return "", &UpgradeError{http.StatusUpgradeRequired, "this address is a WebSocket; connect with one"}
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return "", &UpgradeError{http.StatusUpgradeRequired, "only version 13 of the WebSocket protocol is spoken"}
	case !hasToken(r.Header, "Sec-Websocket-Protocol", subprotocol):
		return bad("the subprotocol " + subprotocol + " must be asked for")
	}
	key = r.Header.Get("Sec-Websocket-Key")
	if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 16 {
		return bad("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	return key, nil
}

// hasToken reports whether a comma-separated header has a token, ignoring case.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// acceptKey returns the value of Sec-WebSocket-Accept (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// upgradeTimeout limits the writing of the response.
const upgradeTimeout = 10 * time.Second

// Upgrade answers an upgrade request and serves the connection until it ends.
// The caller must check the origin and authenticate the user before. The
// handler's methods may be called before Upgrade returns. A refusal is an
// *UpgradeError, and nothing was written; after any other error the connection
// is closed.
func (s *Server) Upgrade(w http.ResponseWriter, r *http.Request, h Handler) (*Conn, error) {
	key, err := checkUpgrade(r, s.cfg.Subprotocol)
	if err != nil {
		return nil, err
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return nil, &UpgradeError{http.StatusInternalServerError, "this server cannot open sockets over this connection"}
	}
	conn, rw, err := hijacker.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take the connection over: %w", err)
	}
	received, err := answerUpgrade(conn, rw.Reader.Buffered(), rw.Peek, key, s.cfg.Subprotocol)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s.attach(conn, h, received)
}

// answerUpgrade writes the response and returns what the client has already sent
// behind its request.
func answerUpgrade(conn net.Conn, buffered int, peek func(int) ([]byte, error), key, subprotocol string) (received []byte, err error) {
	_ = conn.SetWriteDeadline(time.Now().Add(upgradeTimeout))
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n", acceptKey(key), subprotocol)
	if err != nil {
		return nil, fmt.Errorf("answer the upgrade: %w", err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("answer the upgrade: %w", err)
	}
	if buffered == 0 {
		return nil, nil
	}
	b, err := peek(buffered)
	// The buffer belongs to the request, so its bytes are copied.
	return append([]byte(nil), b...), err
}
