package area

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ipfs/boxo/ipns"
	ipnspb "github.com/ipfs/boxo/ipns/pb"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/p2p"
)

// maxSequence keeps sequence numbers in what DAG-CBOR and every IPNS
// implementation agree on.
const maxSequence = math.MaxInt64

// signed is one IPNS record, opened: its signature holds and it has not
// expired.
type signed struct {
	record   *ipns.Record
	sequence uint64
	notAfter time.Time
}

// sign makes an IPNS record of version 2 only, which is what open accepts.
func sign(key crypto.PrivKey, value path.Path, seq uint64, now time.Time, validFor time.Duration, opts ...ipns.Option) ([]byte, error) {
	if seq == 0 || seq > maxSequence {
		return nil, fmt.Errorf("signing area record: sequence number %d: %w", seq, ErrMalformed)
	}
	if validFor <= 0 {
		return nil, fmt.Errorf("signing area record: valid for %v: %w", validFor, ErrExpired)
	}
	opts = append(opts, ipns.WithV1Compatibility(false), ipns.WithPublicKey(false))
	record, err := ipns.NewRecord(key, value, seq, now.Add(validFor).UTC(), ipns.DefaultRecordTTL, opts...)
	if err != nil {
		return nil, fmt.Errorf("signing area record: %w", err)
	}
	b, err := ipns.MarshalRecord(record)
	if err != nil {
		return nil, fmt.Errorf("signing area record: %w", err)
	}
	return b, nil
}

// open checks that b is the one encoding of an IPNS record that signer signed
// and that is not over at now.
func open(signer caps.PublicKey, b []byte, limit int, now time.Time) (signed, error) {
	if len(b) > limit {
		return signed{}, fmt.Errorf("%d bytes, at most %d are allowed: %w", len(b), limit, ErrTooLarge)
	}
	if err := checkEncoding(b); err != nil {
		return signed{}, err
	}
	record, err := ipns.UnmarshalRecord(b)
	if err != nil || record == nil {
		return signed{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	pub, err := crypto.UnmarshalEd25519PublicKey(signer.Bytes())
	if err != nil {
		return signed{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	// boxo looks at the machine's clock, last of all but the TTL; ours is
	// injected, so expiry is judged below.
	switch err := ipns.Validate(record, pub); {
	case err == nil, errors.Is(err, ipns.ErrExpiredRecord):
	case errors.Is(err, ipns.ErrSignature):
		return signed{}, ErrSignature
	default:
		return signed{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	s := signed{record: record}
	if s.notAfter, err = record.Validity(); err != nil {
		return signed{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if s.sequence, err = record.Sequence(); err != nil {
		return signed{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if s.sequence == 0 || s.sequence > maxSequence {
		return signed{}, fmt.Errorf("sequence number out of range: %w", ErrMalformed)
	}
	if ttl, err := record.TTL(); err != nil || ttl < 0 {
		return signed{}, fmt.Errorf("no sound TTL: %w", ErrMalformed)
	}
	if s.notAfter.Year() < 1970 || s.notAfter.Year() > 2200 {
		return signed{}, fmt.Errorf("end of life in the year %d: %w", s.notAfter.Year(), ErrMalformed)
	}
	if now.After(s.notAfter) {
		return signed{}, fmt.Errorf("it ended %s: %w", s.notAfter.UTC().Format(time.RFC3339), ErrExpired)
	}
	return s, nil
}

// checkEncoding admits one encoding of a record: the signed data and its
// signature, in that order, nothing else. Everything outside the data is
// unsigned, and whoever passes a record on could otherwise change or grow it.
func checkEncoding(b []byte) error {
	var m ipnspb.IpnsRecord
	if err := proto.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(m.GetData()) == 0 || len(m.GetSignatureV2()) == 0 {
		return fmt.Errorf("no signed data: %w", ErrMalformed)
	}
	plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(&ipnspb.IpnsRecord{Data: m.Data, SignatureV2: m.SignatureV2})
	if err != nil || string(plain) != string(b) {
		return fmt.Errorf("not the plain version 2 encoding: %w", ErrMalformed)
	}
	return nil
}

// keyOf is p2p.KeyOf with this package's error.
func keyOf(key crypto.PrivKey) (caps.PublicKey, error) {
	pub, err := p2p.KeyOf(key)
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("signing area record: %w", err)
	}
	return pub, nil
}
