package billing

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"trunkline/caps"
)

// Payloads are a version byte, then fields of fixed width in fixed order,
// numbers big-endian. The version is 1 everywhere.
const version = 1

const (
	keyLen      = 32
	hashLen     = 32
	currencyLen = 8
)

// encoder appends fields.
type encoder struct{ b []byte }

func newEncoder(size int) *encoder {
	return &encoder{b: append(make([]byte, 0, size), version)}
}

func (e *encoder) u64(v uint64)         { e.b = binary.BigEndian.AppendUint64(e.b, v) }
func (e *encoder) u32(v uint32)         { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *encoder) i64(v int64)          { e.u64(uint64(v)) }
func (e *encoder) key(k caps.PublicKey) { e.b = append(e.b, k[:]...) }
func (e *encoder) hash(h [hashLen]byte) { e.b = append(e.b, h[:]...) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) currency(s string) {
	var c [currencyLen]byte
	copy(c[:], s)
	e.b = append(e.b, c[:]...)
}

// decoder takes fields off the front. Who uses it has checked the whole length
// first, so that taking cannot run out; the first refused value stays in err.
type decoder struct {
	b   []byte
	err error
}

// newDecoder checks version and length.
func newDecoder(b []byte, size int) (*decoder, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrLength)
	}
	if b[0] != version {
		return nil, fmt.Errorf("%w: %d", ErrVersion, b[0])
	}
	if len(b) != size {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrLength, len(b), size)
	}
	return &decoder{b: b[1:]}, nil
}

func (d *decoder) take(n int) []byte {
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) i64() int64  { return int64(d.u64()) }

func (d *decoder) hash() (h [hashLen]byte) {
	copy(h[:], d.take(hashLen))
	return h
}

func (d *decoder) key() (k caps.PublicKey) {
	copy(k[:], d.take(keyLen))
	return k
}

func (d *decoder) bool() bool {
	v := d.take(1)[0]
	if v > 1 {
		d.fail(fmt.Errorf("%w: flag %d", ErrRange, v))
	}
	return v == 1
}

func (d *decoder) currency() string {
	raw := string(d.take(currencyLen))
	s := strings.TrimRight(raw, "\x00")
	if err := CheckCurrency(s); err != nil {
		d.fail(err)
	}
	return s
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// CheckCurrency says whether s names a currency: 1 to 8 of A-Z and 0-9, such as
// "EUR" or "CREDIT". Two names are two currencies; nothing is ever converted.
//
// Errors: ErrCurrency.
func CheckCurrency(s string) error {
	if len(s) < 1 || len(s) > currencyLen {
		return fmt.Errorf("%w: %.40q", ErrCurrency, s)
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return fmt.Errorf("%w: %.40q", ErrCurrency, s)
		}
	}
	return nil
}

// MaxCount bounds every count of bytes or look-ups in a signed object.
const MaxCount = math.MaxInt64

// checkCounts refuses counts that a signed 64-bit column cannot hold.
func checkCounts(counts ...uint64) error {
	for _, c := range counts {
		if c > MaxCount {
			return fmt.Errorf("%w: count %d", ErrRange, c)
		}
	}
	return nil
}

// checkNotNegative refuses amounts and times below zero.
func checkNotNegative[T ~int64](values ...T) error {
	for _, v := range values {
		if v < 0 {
			return fmt.Errorf("%w: %d is negative", ErrRange, int64(v))
		}
	}
	return nil
}

// checkKeys refuses keys that nobody can have signed with.
func checkKeys(keys ...caps.PublicKey) error {
	for _, k := range keys {
		if _, err := caps.ParsePublicKey(k[:]); err != nil {
			return fmt.Errorf("%w: %w", ErrKey, err)
		}
	}
	return nil
}
