package roster

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"trunkline/caps"
	"trunkline/p2p"
)

// TicketPrefix begins the text of every ticket.
const TicketPrefix = "trunkline-ticket:"

const (
	ticketVersion  = 1
	ticketChecksum = 4
	maxTicketText  = 4096
)

// A TicketID names a ticket without being able to redeem it: the first 8 bytes
// of a hash of the secret. It is safe to log.
type TicketID [8]byte

// String is the ID in lower-case base32.
func (id TicketID) String() string { return caps.EncodeBase32(id[:]) }

// Secret is what redeems a ticket. It prints as "[secret]" under every verb.
type Secret struct{ get func() [16]byte }

// NewSecret wraps 16 random bytes.
func NewSecret(b [16]byte) Secret { return Secret{get: func() [16]byte { return b }} }

// RandomSecret makes a new secret.
func RandomSecret() Secret {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand.Read ends the program instead
	return NewSecret(b)
}

// Bytes is the secret itself, all zero for the zero Secret.
func (s Secret) Bytes() [16]byte {
	if s.get == nil {
		return [16]byte{}
	}
	return s.get()
}

// Hash is what the manager stores in place of the secret. Comparing hashes needs
// no constant time: knowing one does not help to redeem.
func (s Secret) Hash() [32]byte {
	b := s.Bytes()
	h := sha256.New()
	h.Write([]byte("trunkline/ticket/v1\n"))
	h.Write(b[:])
	return [32]byte(h.Sum(nil))
}

// ID names the ticket with this secret.
func (s Secret) ID() TicketID {
	h := s.Hash()
	return TicketID(h[:8])
}

const redacted = "[secret]"

// Format prints "[secret]".
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue is "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is "[secret]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// A Ticket lets whoever holds it join a grid in the given roles. Whole, it is a
// password: the text comes from [Ticket.Text] only.
type Ticket struct {
	Area caps.AreaCode
	// Manager is whom to ask, with its addresses.
	Manager p2p.Peer
	// Roles and Expires (unix seconds) are what the manager promised. It goes by
	// its own copy, so changing the text gains nothing.
	Roles   Role
	Expires int64
	Secret  Secret
}

// String names the ticket without the secret.
func (t Ticket) String() string {
	return fmt.Sprintf("ticket %s for %s as %s", t.Secret.ID(), t.Area.Short(), t.Roles)
}

// Expired reports whether the ticket is past its end.
func (t Ticket) Expired(now time.Time) bool { return now.Unix() > t.Expires }

func (t Ticket) validate() error {
	switch {
	case t.Area.IsZero():
		return fmt.Errorf("%w: ticket without an area", ErrMalformed)
	case !t.Roles.Valid():
		return fmt.Errorf("%w: roles %s", ErrMalformed, t.Roles)
	case t.Expires < 0:
		return fmt.Errorf("%w: negative time", ErrMalformed)
	}
	return checkPeer(t.Manager)
}

// Text is the whole ticket, secret included: the prefix, and in Tahoe's base32
// the version, area, manager, secret, roles, end and a checksum.
func (t Ticket) Text() (string, error) {
	if err := t.validate(); err != nil {
		return "", err
	}
	secret := t.Secret.Bytes()
	b := putKey([]byte{ticketVersion}, t.Area.Key())
	b = putKey(b, t.Manager.Key)
	b = putAddrs(b, t.Manager.Addrs)
	b = append(b, secret[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(t.Roles))
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires))
	b = append(b, checksum(b)...)
	return TicketPrefix + caps.EncodeBase32(b), nil
}

// ParseTicket reads a ticket's text. Space around it is dropped, as people paste.
//
// Errors: ErrTicketText for a typo, a cut-off text or another kind of text. The
// error never repeats the text.
func ParseTicket(s string) (Ticket, error) {
	s = strings.TrimSpace(s)
	body, ok := strings.CutPrefix(s, TicketPrefix)
	if !ok {
		return Ticket{}, fmt.Errorf("%w: it does not begin with %q", ErrTicketText, TicketPrefix)
	}
	if len(s) > maxTicketText {
		return Ticket{}, fmt.Errorf("%w: %d characters, %d are allowed", ErrTicketText, len(s), maxTicketText)
	}
	b, err := caps.DecodeBase32(body)
	if err != nil {
		return Ticket{}, fmt.Errorf("%w: a character is wrong or the end is missing", ErrTicketText)
	}
	if len(b) < ticketChecksum+1 {
		return Ticket{}, fmt.Errorf("%w: the end is missing", ErrTicketText)
	}
	b, sum := b[:len(b)-ticketChecksum], b[len(b)-ticketChecksum:]
	if !bytes.Equal(sum, checksum(b)) {
		return Ticket{}, fmt.Errorf("%w: a character is wrong or the end is missing", ErrTicketText)
	}
	if b[0] != ticketVersion {
		return Ticket{}, fmt.Errorf("%w: version %d is not known to this program; a newer one is needed", ErrTicketText, b[0])
	}
	in := reader{rest: b[1:]}
	t := Ticket{
		Area:    caps.NewAreaCode(in.key()),
		Manager: p2p.Peer{Key: in.key(), Addrs: in.addrs()},
	}
	secret := in.take(16)
	t.Roles = in.roles()
	t.Expires = in.i64()
	if err := in.finish(); err != nil {
		return Ticket{}, fmt.Errorf("%w: %w", ErrTicketText, err)
	}
	t.Secret = NewSecret([16]byte(secret))
	return t, nil
}

// checksum tells a typo from a ticket; it protects against nothing else.
func checksum(b []byte) []byte {
	h := sha256.New()
	h.Write([]byte("trunkline/ticket-text/v1\n"))
	h.Write(b)
	return h.Sum(nil)[:ticketChecksum]
}
