package webpush

import (
	"crypto/tls"
	"crypto/x509"
)

// TrustRoots makes the sender trust the certificates of a test.
func (s *Sender) TrustRoots(roots *x509.CertPool) {
	s.transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
