package webpush

import (
	"crypto/tls"
	"crypto/x509"
)

// Trust makes the sender believe in a test's certificates.
func (s *Sender) Trust(roots *x509.CertPool) {
	s.transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
