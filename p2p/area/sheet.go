package area

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area/pb"
	p2ppb "trunkline/p2p/pb"
)

// Bounds of a contact sheet.
const (
	MaxSheet          = 4096 // bytes of the encoded sheet
	MaxSheetRecord    = 5120 // bytes of the IPNS record around it
	MaxName           = 64   // bytes
	MaxContacts       = 32
	MaxClearinghouses = 16
	MaxTariff         = 1024 // bytes
)

// SheetLife is how long a contact sheet should be valid; the delegate signs a
// new one at half of it.
const SheetLife = 24 * time.Hour

// sheetKey is the IPNS metadata field that carries the sheet.
const sheetKey = "_trunkline"

// Sheet is the lower layer of an area record: what a caller must know.
type Sheet struct {
	// Name is what the grid calls itself, for people; at most 64 printable
	// bytes. Nobody proved it.
	Name string
	// Contacts are the grid's contact points.
	Contacts []p2p.Peer
	// Clearinghouses are those the grid settles with.
	Clearinghouses []p2p.Peer
	// Tariff is the sealed current tariff, verbatim; empty if there is none.
	// Whoever uses it opens it: this package does not look inside.
	Tariff []byte
	// Epoch is the grid's revocation epoch.
	Epoch uint64
}

// NewSheet signs sheet with the delegate's key until now + validFor. seq must
// be above that of every sheet of this delegate before.
func NewSheet(delegate crypto.PrivKey, sheet Sheet, seq uint64, now time.Time, validFor time.Duration) ([]byte, error) {
	if _, err := keyOf(delegate); err != nil {
		return nil, err
	}
	b, err := sheet.Marshal()
	if err != nil {
		return nil, err
	}
	nowhere, err := path.NewPath(ipns.NoopValue)
	if err != nil {
		return nil, fmt.Errorf("signing contact sheet: %w", err)
	}
	return sign(delegate, nowhere, seq, now, validFor, ipns.WithMetadata(map[string]any{sheetKey: b}))
}

// openSheet checks a sheet's record that delegate should have signed.
func openSheet(delegate caps.PublicKey, b []byte, now time.Time) (Sheet, signed, error) {
	s, err := open(delegate, b, MaxSheetRecord, now)
	if err != nil {
		return Sheet{}, signed{}, fmt.Errorf("contact sheet: %w", err)
	}
	sheet, err := s.sheet()
	if err != nil {
		return Sheet{}, signed{}, fmt.Errorf("contact sheet: %w", err)
	}
	return sheet, s, nil
}

// sheet reads an opened record as one that carries a sheet.
func (s signed) sheet() (Sheet, error) {
	field, err := s.record.Metadata(sheetKey)
	if err != nil {
		return Sheet{}, fmt.Errorf("the record carries none: %w", ErrMalformed)
	}
	b, err := field.AsBytes()
	if err != nil {
		return Sheet{}, fmt.Errorf("the field is not bytes: %w", ErrMalformed)
	}
	return ParseSheet(b)
}

// Marshal encodes and checks the sheet as it stands inside its record.
func (s Sheet) Marshal() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	m := &pb.Sheet{Name: s.Name, Tariff: s.Tariff, Epoch: s.Epoch}
	for _, p := range s.Contacts {
		m.Contacts = append(m.Contacts, p.Proto())
	}
	for _, p := range s.Clearinghouses {
		m.Clearinghouses = append(m.Clearinghouses, p.Proto())
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("contact sheet: %w", err)
	}
	if len(b) > MaxSheet {
		return nil, fmt.Errorf("contact sheet of %d bytes, at most %d are allowed: %w", len(b), MaxSheet, ErrTooLarge)
	}
	return b, nil
}

// ParseSheet decodes and checks an unsigned sheet. Fields of later versions
// are skipped.
func ParseSheet(b []byte) (Sheet, error) {
	if len(b) > MaxSheet {
		return Sheet{}, fmt.Errorf("contact sheet of %d bytes, at most %d are allowed: %w", len(b), MaxSheet, ErrTooLarge)
	}
	var m pb.Sheet
	if err := proto.Unmarshal(b, &m); err != nil {
		return Sheet{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	s := Sheet{Name: m.GetName(), Tariff: m.GetTariff(), Epoch: m.GetEpoch()}
	if len(m.GetContacts()) > MaxContacts || len(m.GetClearinghouses()) > MaxClearinghouses {
		return Sheet{}, fmt.Errorf("%d contacts and %d clearinghouses, at most %d and %d are allowed: %w",
			len(m.GetContacts()), len(m.GetClearinghouses()), MaxContacts, MaxClearinghouses, ErrTooLarge)
	}
	var err error
	if s.Contacts, err = peersFrom(m.GetContacts()); err != nil {
		return Sheet{}, err
	}
	if s.Clearinghouses, err = peersFrom(m.GetClearinghouses()); err != nil {
		return Sheet{}, err
	}
	return s, s.validate()
}

func (s Sheet) validate() error {
	switch {
	case len(s.Name) > MaxName:
		return fmt.Errorf("a name of %d bytes, at most %d are allowed: %w", len(s.Name), MaxName, ErrTooLarge)
	case !printable(s.Name):
		return fmt.Errorf("the name is not printable: %w", ErrMalformed)
	case len(s.Contacts) > MaxContacts:
		return fmt.Errorf("%d contacts, at most %d are allowed: %w", len(s.Contacts), MaxContacts, ErrTooLarge)
	case len(s.Clearinghouses) > MaxClearinghouses:
		return fmt.Errorf("%d clearinghouses, at most %d are allowed: %w", len(s.Clearinghouses), MaxClearinghouses, ErrTooLarge)
	case len(s.Tariff) > MaxTariff:
		return fmt.Errorf("a tariff of %d bytes, at most %d are allowed: %w", len(s.Tariff), MaxTariff, ErrTooLarge)
	}
	for _, peers := range [][]p2p.Peer{s.Contacts, s.Clearinghouses} {
		seen := make(map[caps.PublicKey]bool, len(peers))
		for _, p := range peers {
			if err := p.Validate(); err != nil {
				return fmt.Errorf("%w: %w", ErrMalformed, err)
			}
			if seen[p.Key] {
				return fmt.Errorf("a peer is listed twice: %w", ErrMalformed)
			}
			seen[p.Key] = true
		}
	}
	return nil
}

func peersFrom(list []*p2ppb.Peer) ([]p2p.Peer, error) {
	var out []p2p.Peer
	for _, m := range list {
		p, err := p2p.PeerFromProto(m)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
