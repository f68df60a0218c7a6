package gbs

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	// maxNURL bounds the text of a NURL.
	maxNURL = 2048
	// maxSwissnum bounds the swissnum within it.
	maxSwissnum = 256
)

// NURL says where a storage server listens, which key it must show, and the secret that opens it:
// pb://<hash>@<host>:<port>/<swissnum>#v=1. It is comparable; it is a password, so printing one shows the address
// alone.
//
// Source: tahoe-formats 8.1.
type NURL struct {
	// Tor: the host is reached through Tor only (pb+tor://).
	Tor bool
	// Host and Port are what is dialled.
	Host string
	Port uint16
	// SPKI is the SHA-256 of the DER SubjectPublicKeyInfo of the one certificate that is accepted.
	SPKI [sha256.Size]byte

	swissnum string
}

// ParseNURL reads a NURL.
//
// Errors: ErrNURL, which includes the URLs of Tahoe's older protocol (without #v=1).
func ParseNURL(text string) (NURL, error) {
	if len(text) > maxNURL {
		return NURL{}, fmt.Errorf("%w: it is longer than %d bytes", ErrNURL, maxNURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return NURL{}, fmt.Errorf("%w: it is no URL", ErrNURL) // err would quote it
	}
	n := NURL{Tor: u.Scheme == "pb+tor", Host: u.Hostname()}
	password, hasPassword := "", false
	if u.User != nil {
		password, hasPassword = u.User.Password()
	}
	switch {
	case u.Scheme != "pb" && !n.Tor:
		return NURL{}, fmt.Errorf("%w: it does not begin with pb:// or pb+tor://", ErrNURL)
	case u.Fragment != "v=1":
		return NURL{}, fmt.Errorf("%w: it does not end in #v=1, so it is of another protocol", ErrNURL)
	case u.User == nil || hasPassword || password != "" || u.RawQuery != "" || u.ForceQuery:
		return NURL{}, fmt.Errorf("%w: it needs a hash before the host, and nothing else", ErrNURL)
	case !validHost(n.Host):
		return NURL{}, fmt.Errorf("%w: it names no host", ErrNURL)
	}
	hash, err := base64.RawURLEncoding.Strict().DecodeString(u.User.Username())
	if err != nil || len(hash) != len(n.SPKI) {
		return NURL{}, fmt.Errorf("%w: the hash is not 43 characters of base64", ErrNURL)
	}
	copy(n.SPKI[:], hash)
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return NURL{}, fmt.Errorf("%w: it names no port", ErrNURL)
	}
	n.Port = uint16(port)
	n.swissnum = strings.TrimPrefix(u.Path, "/")
	if n.swissnum == "" || len(n.swissnum) > maxSwissnum || strings.Contains(n.swissnum, "/") {
		return NURL{}, fmt.Errorf("%w: the secret in it is empty, too long or a path", ErrNURL)
	}
	return n, nil
}

// validHost accepts IP addresses and names of letters, digits and what DNS names have between them.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == "" &&
		!strings.HasPrefix(host, "-")
}

// Address is host:port, as net.Dial takes it.
func (n NURL) Address() string { return net.JoinHostPort(n.Host, strconv.Itoa(int(n.Port))) }

// Text is the whole NURL, with its secret.
func (n NURL) Text() string {
	scheme := "pb"
	if n.Tor {
		scheme = "pb+tor"
	}
	u := url.URL{
		Scheme: scheme, User: url.User(base64.RawURLEncoding.EncodeToString(n.SPKI[:])),
		Host: n.Address(), Path: "/" + n.swissnum, Fragment: "v=1",
	}
	return u.String()
}

// String is the address alone.
func (n NURL) String() string { return n.Address() }

// Format prints what String gives, whatever the verb.
func (n NURL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(n.String())) }

// LogValue is what String gives.
func (n NURL) LogValue() slog.Value { return slog.StringValue(n.String()) }

// MarshalText refuses: a NURL is written with Text, on purpose only.
func (NURL) MarshalText() ([]byte, error) { return nil, ErrSecret }

// authorization is the header that opens the server.
func (n NURL) authorization() string {
	return "Tahoe-LAFS " + base64.StdEncoding.EncodeToString([]byte(n.swissnum))
}
