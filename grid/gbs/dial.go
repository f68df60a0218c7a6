package gbs

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"trunkline/p2p"
)

const (
	// maxConns bounds the connections to one server: it has one thread, and reads wait for its disk.
	maxConns = 8
	// idleConn is how long a connection is kept unused. Tahoe's server closes those that were idle for a minute.
	idleConn = 45 * time.Second
	// dialTimeout bounds connecting to one address, the handshake included.
	dialTimeout = 10 * time.Second
	// maxHeaders bounds the headers of an answer, in bytes.
	maxHeaders = 64 << 10
	// connBuffer is what a connection buffers in each direction, in bytes.
	connBuffer = 64 << 10
	// maxSessions is how many TLS sessions are kept to be resumed.
	maxSessions = 16
)

func (s *Server) newTransport() *http.Transport {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The certificates are self-signed, nameless and mostly expired. What counts is the key.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it
		VerifyConnection:   s.pinned,
		ClientSessionCache: tls.NewLRUClientSessionCache(maxSessions),
	}
	return &http.Transport{
		DialTLSContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx, config) },
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        idleConn,
		MaxResponseHeaderBytes: maxHeaders,
		DisableCompression:     true,
		WriteBufferSize:        connBuffer,
		ReadBufferSize:         connBuffer,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only
	}
}

// pinned accepts the one key that the NURLs name. It runs at resumed sessions as well.
func (s *Server) pinned(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return ErrPinned
	}
	hash := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if subtle.ConstantTimeCompare(hash[:], s.cfg.NURLs[0].SPKI[:]) != 1 {
		return ErrPinned
	}
	return nil
}

// dialError marks what went wrong before anything was sent.
type dialError struct{ error }

func (e dialError) Unwrap() []error { return []error{e.error, p2p.ErrUnreachable} }

// dial connects to the first address that answers with the right key.
func (s *Server) dial(ctx context.Context, config *tls.Config) (net.Conn, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	s.mu.Lock()
	first := s.nurl
	s.mu.Unlock()
	var errs []error
	for i := range s.cfg.NURLs {
		at := (first + i) % len(s.cfg.NURLs)
		conn, err := s.dialOne(ctx, s.cfg.NURLs[at], config)
		if err == nil {
			s.mu.Lock()
			s.nurl = at
			s.mu.Unlock()
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("connecting to %s: %w", s.cfg.NURLs[at], err))
	}
	return nil, dialError{errors.Join(errs...)}
}

func (s *Server) dialOne(ctx context.Context, n NURL, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dial := s.cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	raw, err := dial(ctx, "tcp", n.Address())
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}
