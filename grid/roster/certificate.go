package roster

import (
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/roster/pb"
	"trunkline/p2p/area"
)

// MaxCredentialBytes bounds a credential on the wire: a delegation, a
// certificate and their framing.
const MaxCredentialBytes = 4 << 10

// A Certificate says what the manager says of one member. Sealed by the delegate.
type Certificate struct {
	Area  caps.AreaCode
	Key   caps.PublicKey
	Roles Role
	Name  string
	// Serial grows with each certificate of the area.
	Serial uint64
	// Epoch is the area's revocation epoch when this was issued. A verifier that
	// knows a higher one refuses the certificate.
	Epoch uint64
	// IssuedAt and NotAfter are unix seconds.
	IssuedAt, NotAfter int64
}

// SealedCertificate is a certificate with its signature, bytes verbatim.
type SealedCertificate = sealed.Sealed[Certificate]

// Domain separates signatures of certificates from all others.
func (*Certificate) Domain() string { return "trunkline/certificate/v1" }

// Codec is the envelope's payload type.
func (*Certificate) Codec() []byte { return []byte("/trunkline/certificate") }

// Validate checks everything that can be checked without a clock or a signature.
func (c *Certificate) Validate() error {
	switch {
	case c.Area.IsZero() || c.Key.IsZero():
		return fmt.Errorf("%w: certificate without an area or a key", ErrMalformed)
	case !c.Roles.Valid():
		return fmt.Errorf("%w: roles %s", ErrMalformed, c.Roles)
	case c.Serial == 0:
		return fmt.Errorf("%w: certificate number 0", ErrMalformed)
	case c.IssuedAt < 0 || c.NotAfter <= c.IssuedAt:
		return fmt.Errorf("%w: certificate ends before it begins", ErrMalformed)
	}
	return CheckName(c.Name)
}

// MarshalRecord gives the bytes that are signed.
func (c *Certificate) MarshalRecord() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	b := putKey(make([]byte, 0, 192), c.Area.Key())
	b = putKey(b, c.Key)
	b = binary.BigEndian.AppendUint32(b, uint32(c.Roles))
	b = binary.BigEndian.AppendUint64(b, c.Serial)
	b = binary.BigEndian.AppendUint64(b, c.Epoch)
	b = binary.BigEndian.AppendUint64(b, uint64(c.IssuedAt))
	b = binary.BigEndian.AppendUint64(b, uint64(c.NotAfter))
	return putShort(b, c.Name), nil
}

// UnmarshalRecord reads what MarshalRecord wrote and nothing else.
func (c *Certificate) UnmarshalRecord(b []byte) error {
	in := reader{rest: b}
	out := Certificate{
		Area:     caps.NewAreaCode(in.key()),
		Key:      in.key(),
		Roles:    in.roles(),
		Serial:   in.u64(),
		Epoch:    in.u64(),
		IssuedAt: in.i64(),
		NotAfter: in.i64(),
		Name:     in.name(),
	}
	if err := in.finish(); err != nil {
		return err
	}
	if err := out.Validate(); err != nil {
		return err
	}
	*c = out
	return nil
}

// HalfLife is when a certificate ought to be replaced.
func (c *Certificate) HalfLife() time.Time {
	return time.Unix(c.IssuedAt+(c.NotAfter-c.IssuedAt)/2, 0)
}

// A Credential proves membership to anybody who can read an area code: the
// grid key's delegation and the delegate's certificate, both verbatim. A manager
// speaking for its whole grid leaves Certificate empty.
type Credential struct {
	Delegation  []byte
	Certificate []byte
}

// Marshal writes the credential as one string of bytes.
func (c Credential) Marshal() ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Credential{Delegation: c.Delegation, Certificate: c.Certificate})
	if err != nil {
		return nil, fmt.Errorf("writing credential: %w", err)
	}
	if len(b) > MaxCredentialBytes {
		return nil, fmt.Errorf("%w: credential of %d bytes, %d are allowed", ErrMalformed, len(b), MaxCredentialBytes)
	}
	return b, nil
}

// ParseCredential reads what Marshal wrote. It checks no signature.
func ParseCredential(b []byte) (Credential, error) {
	if len(b) > MaxCredentialBytes {
		return Credential{}, fmt.Errorf("%w: credential of %d bytes, %d are allowed", ErrMalformed, len(b), MaxCredentialBytes)
	}
	var m pb.Credential
	if err := proto.Unmarshal(b, &m); err != nil {
		return Credential{}, fmt.Errorf("%w: credential: %w", ErrMalformed, err)
	}
	if len(m.ProtoReflect().GetUnknown()) != 0 {
		return Credential{}, fmt.Errorf("%w: credential has unknown fields", ErrMalformed)
	}
	return Credential{Delegation: m.GetDelegation(), Certificate: m.GetCertificate()}, nil
}

// A Membership is what a verified credential says.
type Membership struct {
	Area       caps.AreaCode
	Delegation area.Delegation
	// Certificate is what the delegate says about the key.
	Certificate Certificate
}

// Verify checks a credential from the area code alone: the delegation is the
// grid key's, the certificate is the delegate's, it is about key, and neither has
// ended. The holder of the credential must have proved key by itself, which a
// connection does.
//
// Errors: ErrMalformed, ErrSigner, ErrArea, ErrExpired, ErrNotMember (another
// key's certificate).
func (c Credential) Verify(code caps.AreaCode, key caps.PublicKey, now time.Time) (Membership, error) {
	d, err := OpenDelegation(code, c.Delegation, now)
	if err != nil {
		return Membership{}, err
	}
	s, err := openSealed[Certificate](c.Certificate, d.Delegate)
	if err != nil {
		return Membership{}, fmt.Errorf("opening certificate: %w", err)
	}
	cert := s.Value
	switch {
	case cert.Area != code:
		return Membership{}, fmt.Errorf("certificate: %w", ErrArea)
	case cert.Key != key:
		return Membership{}, fmt.Errorf("certificate is about %s, not %s: %w", cert.Key, key, ErrNotMember)
	case now.Unix() > cert.NotAfter:
		return Membership{}, fmt.Errorf("certificate of %s ended %s: %w", key, stamp(cert.NotAfter), ErrExpired)
	}
	return Membership{Area: code, Delegation: d, Certificate: cert}, nil
}

// ClaimedArea is the area that the certificate inside says it belongs to, before
// anything is proved: where to start checking, nothing more.
func (c Credential) ClaimedArea() (caps.AreaCode, error) {
	s, err := sealed.Open[Certificate](c.Certificate)
	if err != nil {
		return caps.AreaCode{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s.Value.Area, nil
}
