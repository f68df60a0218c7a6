package tahoe

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"trunkline/caps"
)

// maxCertificate bounds a certificate in bytes.
const maxCertificate = 64 << 10

// Certificate is a grid manager's word that a storage server may be given shares until some time. It is checked at
// each use; until then nothing in it is believed.
//
// Source: tahoe-formats 10.
type Certificate struct {
	text      string // exactly what was signed
	signature [ed25519.SignatureSize]byte
	server    string // pub-v0-…
	expires   time.Time
}

// ParseCertificate reads a certificate as it stands in files and announcements: a JSON object with the keys
// "certificate" and "signature".
//
// Errors: ErrCertificate.
func ParseCertificate(b []byte) (Certificate, error) {
	if len(b) > maxCertificate {
		return Certificate{}, fmt.Errorf("%w: it has %d bytes", ErrCertificate, len(b))
	}
	var outer map[string]string
	if err := json.Unmarshal(b, &outer); err != nil {
		return Certificate{}, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	text, hasText := outer["certificate"]
	signature, hasSignature := outer["signature"]
	if len(outer) != 2 || !hasText || !hasSignature {
		return Certificate{}, fmt.Errorf("%w: it has other parts than a text and a signature", ErrCertificate)
	}
	return newCertificate(text, signature)
}

func newCertificate(text, signature string) (Certificate, error) {
	c := Certificate{text: text}
	raw, err := caps.DecodeBase32(signature)
	if err != nil || len(raw) != len(c.signature) {
		return Certificate{}, fmt.Errorf("%w: the signature is not 103 characters of base32", ErrCertificate)
	}
	copy(c.signature[:], raw)
	var inner struct {
		Expires   string `json:"expires"`
		PublicKey string `json:"public_key"`
		Version   int    `json:"version"`
	}
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&inner); err != nil {
		return Certificate{}, fmt.Errorf("%w: its text: %w", ErrCertificate, err)
	}
	if inner.Version != 1 {
		return Certificate{}, fmt.Errorf("%w: it is of version %d", ErrCertificate, inner.Version)
	}
	if c.expires, err = time.Parse("2006-01-02T15:04:05Z07:00", inner.Expires); err != nil {
		return Certificate{}, fmt.Errorf("%w: it does not say until when", ErrCertificate)
	}
	c.server = inner.PublicKey
	return c, nil
}

// Expires is when the certificate ends, if it is valid at all.
func (c Certificate) Expires() time.Time { return c.expires }

// JSON is what ParseCertificate reads.
func (c Certificate) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(map[string]string{"certificate": c.text, "signature": caps.EncodeBase32(c.signature[:])}) // two strings cannot fail
	return bytes.TrimSpace(b.Bytes())
}

// Check says whether one of the managers lets the server with that id (v0-…) have shares now.
//
// Errors: ErrSignature, ErrOtherServer, ErrExpired.
func (c Certificate) Check(managers []caps.PublicKey, serverID string, now time.Time) error {
	signed := slices.ContainsFunc(managers, func(m caps.PublicKey) bool {
		return ed25519.Verify(m[:], []byte(c.text), c.signature[:])
	})
	switch {
	case !signed:
		return ErrSignature
	case c.server != "pub-"+serverID:
		return ErrOtherServer
	case !c.expires.After(now):
		return fmt.Errorf("%w at %s", ErrExpired, c.expires.UTC().Format(time.RFC3339))
	}
	return nil
}
