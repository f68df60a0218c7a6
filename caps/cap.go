package caps

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

const (
	// LiteralMax is the largest content in bytes that writers put into a literal cap.
	// Readers accept longer ones.
	LiteralMax = 55
	// MaxAreas is the largest number of areas a long-distance cap names.
	MaxAreas = 8

	fingerprintChars = 10
)

// Cap is any capability, with the areas it is good in if it is a long-distance one. It is
// an immutable value, cheap to copy and safe for concurrent use; compare with Equal. The
// zero value is no capability at all.
//
// It is made by Parse, ParseIn or the constructors, and gives its text through Text
// alone. Everything else that prints shows kind and fingerprint; encoders refuse it.
type Cap struct {
	kind  Kind
	areas []AreaCode   // never written to after the value is made
	open  func() *body // a closure for the reason given at key16; the body is never changed
}

// body is what a kind's grammar reads.
type body struct {
	key        [16]byte // read key, write key, or storage index, by kind
	hash       Hash     // UEB hash or fingerprint
	k, n, size string   // digits without leading zeros: Tahoe's parser bounds none of them
	literal    []byte
	prefix     string // unknown kinds: "ro.", "imm." or nothing
	text       string // unknown kinds: the rest, without areas
}

func newCap(k Kind, b *body) Cap { return Cap{kind: k, open: func() *body { return b }} }

// NewLiteral makes the cap that holds content itself, at most LiteralMax bytes. content
// is copied.
//
// Errors: ErrLiteralSize.
func NewLiteral(content []byte) (Cap, error) {
	if len(content) > LiteralMax {
		return Cap{}, ErrLiteralSize
	}
	return newCap(KindLiteral, &body{literal: bytes.Clone(content)}), nil
}

// NewMutable makes the write cap of a mutable object. kind is KindSDMF, KindMDMF or the
// directory over one of them; fingerprint is that of the public key.
//
// Errors: ErrWrongKind.
func NewMutable(kind Kind, key WriteKey, fingerprint Hash) (Cap, error) {
	if !kind.CanWrite() {
		return Cap{}, ErrWrongKind
	}
	return newCap(kind, &body{key: key.Bytes(), hash: fingerprint}), nil
}

// Kind is the kind without regard to areas.
func (c Cap) Kind() Kind { return c.kind }

// IsZero reports whether c is the zero value.
func (c Cap) IsZero() bool { return c.open == nil }

// IsDirectory reports whether the object is a directory.
func (c Cap) IsDirectory() bool { return c.kind.IsDirectory() }

// IsLongDistance reports whether the cap names areas.
func (c Cap) IsLongDistance() bool { return len(c.areas) > 0 }

// Areas lists where the object is, in the order of the text: none for the home grid, or
// inside a directory for the grid of that directory. The caller owns the result.
func (c Cap) Areas() []AreaCode { return slices.Clone(c.areas) }

// WithAreas is the long-distance cap for the same object in these areas, 1 to MaxAreas
// without duplicates, in place of any it had.
//
// Errors: ErrAreaCount, ErrAreaDuplicate, ErrAreaCode (a zero area), ErrNoCap, ErrNoAreaForm
// (an unknown cap that does not begin with "URI:").
func (c Cap) WithAreas(areas ...AreaCode) (Cap, error) {
	if c.IsZero() {
		return Cap{}, ErrNoCap
	}
	if c.kind == KindUnknown && !strings.HasPrefix(c.open().text, uriLead) {
		return Cap{}, ErrNoAreaForm
	}
	if err := checkAreas(areas); err != nil {
		return Cap{}, err
	}
	c.areas = slices.Clone(areas)
	return c, nil
}

// Local is the same cap without areas.
func (c Cap) Local() Cap {
	c.areas = nil
	return c
}

// Text is the capability itself: whoever reads it has what it grants. It is the canonical
// text: fields re-encoded, numbers without leading zeros, ignored tails and the ro. and
// imm. prefixes gone; but an unknown cap is as it came. The zero Cap gives "".
func (c Cap) Text() string {
	if c.IsZero() {
		return ""
	}
	b := c.open()
	lead := uriLead
	if len(c.areas) > 0 {
		lead += longDistance + joinAreas(c.areas, AreaCode.String) + ":"
	}
	if c.kind == KindUnknown {
		if rest, ok := strings.CutPrefix(b.text, uriLead); ok {
			return b.prefix + lead + rest
		}
		return b.prefix + b.text
	}
	facts := c.kind.facts()
	s := append([]byte(lead), facts.name...)
	s = append(s, ':')
	if facts.shape == shapeLiteral {
		return string(appendBase32(s, b.literal))
	}
	s = appendBase32(s, b.key[:])
	s = append(s, ':')
	s = appendBase32(s, b.hash[:])
	if facts.shape == shapeCHK {
		for _, digits := range []string{b.k, b.n, b.size} {
			s = append(s, ':')
			s = append(s, digits...)
		}
	}
	return string(s)
}

// Validate checks what the grammar does not: that share counts and size of an immutable
// cap can be used, and that the kind is known.
//
// Errors: ErrNoCap, ErrUnknownKind, ErrShareCounts, ErrSize.
func (c Cap) Validate() error {
	switch {
	case c.IsZero():
		return ErrNoCap
	case c.kind == KindUnknown:
		return ErrUnknownKind
	case c.kind.facts().shape != shapeCHK:
		return nil
	}
	_, err := c.chkVerify()
	return err
}

// chkVerify is the verify cap of a cap of shapeCHK, if its numbers can be used.
func (c Cap) chkVerify() (CHKVerify, error) {
	b := c.open()
	k, err := strconv.ParseUint(b.k, 10, 16)
	if err != nil {
		return CHKVerify{}, ErrShareCounts
	}
	n, err := strconv.ParseUint(b.n, 10, 16)
	if err != nil {
		return CHKVerify{}, ErrShareCounts
	}
	v := CHKVerify{UEBHash: b.hash, K: int(k), N: int(n), Size: 1}
	if err := v.Validate(); err != nil {
		return CHKVerify{}, err
	}
	v.Size, err = strconv.ParseUint(b.size, 10, 63)
	if err != nil {
		return CHKVerify{}, ErrSize
	}
	v.StorageIndex, _ = c.StorageIndex()
	return v, v.Validate()
}

// ReadOnly is the strongest cap that cannot change the object: of most kinds the cap
// itself, of a verify cap the verify cap. Areas are kept.
//
// Errors: ErrNoCap, ErrMustNotBeUnknownRW (an unknown cap without ro. or imm.).
func (c Cap) ReadOnly() (Cap, error) {
	if c.IsZero() {
		return Cap{}, ErrNoCap
	}
	if c.kind == KindUnknown {
		if c.open().prefix == "" {
			return Cap{}, ErrMustNotBeUnknownRW
		}
		return c, nil
	}
	if c.kind.CanWrite() {
		b := *c.open()
		b.key = NewWriteKey(b.key).ReadKey().Bytes()
		return c.weakened(c.kind.facts().readOnly, &b), nil
	}
	return c, nil
}

// VerifyCap is the cap that only finds and checks the object's ciphertext. Areas are
// kept. Literals and unknown caps have none.
func (c Cap) VerifyCap() (Cap, bool) {
	to := c.kind.facts().verify
	if to == KindUnknown || c.IsZero() {
		return Cap{}, false
	}
	if to == c.kind {
		return c, true
	}
	b := *c.open()
	b.key, _ = c.StorageIndex()
	return c.weakened(to, &b), true
}

func (c Cap) weakened(k Kind, b *body) Cap {
	weaker := newCap(k, b)
	weaker.areas = c.areas
	return weaker
}

// Directory is the same cap taken as a directory's: KindDirCHK for KindCHK, and so on. It
// reports false if c already is a directory's, or of unknown kind.
func (c Cap) Directory() (Cap, bool) { return c.twin(false) }

// File is the cap of the file in which a directory is kept. It reports false if c is not
// a directory's.
func (c Cap) File() (Cap, bool) { return c.twin(true) }

func (c Cap) twin(directory bool) (Cap, bool) {
	if c.kind == KindUnknown || c.IsDirectory() != directory {
		return Cap{}, false
	}
	c.kind = c.kind.facts().twin
	return c, true
}

// StorageIndex is where the object's shares are kept. Literals and unknown caps have
// none.
func (c Cap) StorageIndex() (StorageIndex, bool) {
	facts := c.kind.facts()
	if c.kind == KindUnknown || facts.shape == shapeLiteral {
		return StorageIndex{}, false
	}
	key := c.open().key
	switch facts.power {
	case powerWrite:
		return NewWriteKey(key).ReadKey().StorageIndex(), true
	case powerRead:
		return NewMutableReadKey(key).StorageIndex(), true
	case powerFixed:
		return NewReadKey(key).StorageIndex(), true
	case powerVerify:
	}
	return key, true
}

// CHK is the typed read cap of an immutable file, or of the file in which an immutable
// directory is kept. It reports false for other kinds, and for numbers that Validate
// refuses.
func (c Cap) CHK() (CHKRead, bool) {
	facts := c.kind.facts()
	if facts.shape != shapeCHK || facts.power != powerFixed {
		return CHKRead{}, false
	}
	v, err := c.chkVerify()
	if err != nil {
		return CHKRead{}, false
	}
	return CHKRead{NewReadKey(c.open().key), v}, true
}

// CHKVerify is the typed verify cap of an immutable file or directory, from its read or
// its verify cap. It reports false for other kinds, and for numbers that Validate
// refuses.
func (c Cap) CHKVerify() (CHKVerify, bool) {
	if c.kind.facts().shape != shapeCHK {
		return CHKVerify{}, false
	}
	v, err := c.chkVerify()
	return v, err == nil
}

// Literal is the content of a literal cap, or the packed entries of a literal directory.
// The caller owns the result, which is not nil.
func (c Cap) Literal() ([]byte, bool) {
	if c.kind.facts().shape != shapeLiteral {
		return nil, false
	}
	return append([]byte{}, c.open().literal...), true
}

// WriteKey is the key of a mutable write cap.
func (c Cap) WriteKey() (WriteKey, bool) {
	if !c.kind.CanWrite() {
		return WriteKey{}, false
	}
	return NewWriteKey(c.open().key), true
}

// MutableReadKey is the read key of a mutable write or read cap.
func (c Cap) MutableReadKey() (MutableReadKey, bool) {
	if w, ok := c.WriteKey(); ok {
		return w.ReadKey(), true
	}
	if !c.kind.IsMutable() {
		return MutableReadKey{}, false
	}
	return NewMutableReadKey(c.open().key), true
}

// KeyFingerprint is the hash of the public key that a mutable object is signed with, from
// any of its caps.
func (c Cap) KeyFingerprint() (Hash, bool) {
	if s := c.kind.facts().shape; s != shapeSDMF && s != shapeMDMF {
		return Hash{}, false
	}
	return c.open().hash, true
}

// Equal reports, in time that does not depend on the keys, whether both have the same
// text.
func (c Cap) Equal(o Cap) bool {
	return subtle.ConstantTimeCompare([]byte(c.Text()), []byte(o.Text())) == 1
}

// String is the kind and a short fingerprint, such as "CHK(tq2sxz7567…)", behind the areas
// if there are any. The fingerprint is the beginning of the storage index, so that it is
// the same for all caps of one object and can be found in a server's directory. Literals
// and unknown caps show a length instead: a hash of so little would give it away.
func (c Cap) String() string {
	if c.IsZero() {
		return "no capability"
	}
	var s string
	if si, ok := c.StorageIndex(); ok {
		s = si.String()[:fingerprintChars] + "…"
	} else if c.kind == KindUnknown {
		s = strconv.Itoa(len(c.open().text)) + " characters"
	} else {
		s = strconv.Itoa(len(c.open().literal)) + " bytes"
	}
	s = c.kind.String() + "(" + s + ")"
	if len(c.areas) > 0 {
		s = longDistance + joinAreas(c.areas, AreaCode.Short) + ":" + s
	}
	return s
}

// GoString is what String gives.
func (c Cap) GoString() string { return c.String() }

// Format writes what String gives, whatever the verb.
func (c Cap) Format(f fmt.State, verb rune) { format(f, verb, c.String()) }

// LogValue is what String gives.
func (c Cap) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText refuses with ErrNotMarshalled: use Text.
func (Cap) MarshalText() ([]byte, error) { return nil, ErrNotMarshalled }

// MarshalBinary refuses with ErrNotMarshalled: use Text.
func (Cap) MarshalBinary() ([]byte, error) { return nil, ErrNotMarshalled }
