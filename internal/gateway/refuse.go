package gateway

import (
	"encoding/json"
	"net/http"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// refuse answers a refused upgrade with a problem document (RFC 9457).
func refuse(w http.ResponseWriter, status int, e *chat.Error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": e.Text, "code": e.Code,
	})
}
