package roster

import (
	"encoding/binary"
	"fmt"
	"unicode"
	"unicode/utf8"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// Bounds of what a roster, certificate or ticket may hold. They are checked
// before anything is allocated.
const (
	MaxMembers        = 4096           // members of one roster
	MaxName           = 64             // bytes of UTF-8 in a name
	MaxAddrs          = 8              // address hints of one member
	MaxAddr           = 128            // bytes of one address hint
	MaxClearinghouses = 16             // clearinghouses of one roster
	maxTariff         = area.MaxTariff // bytes of a sealed tariff
)

// Signed payloads are big-endian, in a fixed order, with no optional parts:
// one value has one spelling. A short string is one length byte and its bytes.

func putKey(b []byte, k caps.PublicKey) []byte { return append(b, k[:]...) }

func putShort(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

func putLong(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...) //nolint:gosec // G115: callers have checked len(v) against maxTariff
}

func putAddrs(b []byte, addrs []string) []byte {
	b = append(b, byte(len(addrs)))
	for _, a := range addrs {
		b = putShort(b, a)
	}
	return b
}

// A reader takes a payload apart. The first failure sticks, later calls return
// zero values, and finish tells whether everything was there and nothing more.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.rest) {
		r.fail("ends early")
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) u8() int {
	if b := r.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (r *reader) u16() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// i64 reads a time in unix seconds, which is never negative.
func (r *reader) i64() int64 {
	v := r.u64()
	if v>>63 != 0 {
		r.fail("negative time")
		return 0
	}
	return int64(v)
}

func (r *reader) key() caps.PublicKey {
	b := r.take(32)
	if b == nil {
		return caps.PublicKey{}
	}
	k, err := caps.ParsePublicKey(b)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return k
}

func (r *reader) roles() Role {
	v := Role(r.u32())
	if r.err == nil && !v.Valid() {
		r.fail("roles %s", v)
	}
	return v
}

func (r *reader) name() string {
	s := string(r.take(r.u8()))
	if r.err == nil {
		if err := CheckName(s); err != nil {
			r.err = err
		}
	}
	return s
}

func (r *reader) long(limit int) []byte {
	n := r.u16()
	if n > limit {
		r.fail("%d bytes where %d are allowed", n, limit)
		return nil
	}
	if n == 0 {
		return nil
	}
	return append([]byte(nil), r.take(n)...)
}

func (r *reader) addrs() []string {
	n := r.u8()
	if n > MaxAddrs {
		r.fail("%d addresses where %d are allowed", n, MaxAddrs)
		return nil
	}
	var out []string
	for range n {
		out = append(out, string(r.take(r.u8())))
	}
	if r.err == nil {
		if err := checkAddrs(out); err != nil {
			r.err = err
		}
	}
	return out
}

func (r *reader) finish() error {
	if r.err == nil && len(r.rest) != 0 {
		r.fail("%d bytes too many", len(r.rest))
	}
	return r.err
}

// CheckName refuses names that are too long or that could not be printed on a
// terminal without harm. Error: ErrMalformed.
func CheckName(s string) error {
	if len(s) > MaxName {
		return fmt.Errorf("%w: name of %d bytes, %d are allowed", ErrMalformed, len(s), MaxName)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: name is not UTF-8", ErrMalformed)
	}
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return fmt.Errorf("%w: name %q holds a character that does not print", ErrMalformed, s)
		}
	}
	return nil
}

func checkAddrs(addrs []string) error {
	if len(addrs) > MaxAddrs {
		return fmt.Errorf("%w: %d addresses, %d are allowed", ErrMalformed, len(addrs), MaxAddrs)
	}
	for _, a := range addrs {
		if a == "" || len(a) > MaxAddr {
			return fmt.Errorf("%w: address of %d bytes, 1 to %d are allowed", ErrMalformed, len(a), MaxAddr)
		}
		for _, c := range []byte(a) {
			if c <= ' ' || c > '~' {
				return fmt.Errorf("%w: address %q is not printable ASCII", ErrMalformed, a)
			}
		}
	}
	return nil
}

// TrimAddrs makes addresses fit a roster: those that are too long or odd are
// left out, and at most [MaxAddrs] stay, in order.
func TrimAddrs(key caps.PublicKey, addrs []string) []string {
	var out []string
	for _, a := range addrs {
		if len(out) == MaxAddrs {
			break
		}
		if checkPeer(p2p.Peer{Key: key, Addrs: []string{a}}) == nil {
			out = append(out, a)
		}
	}
	return out
}

func checkPeer(p p2p.Peer) error {
	if p.Key.IsZero() {
		return fmt.Errorf("%w: peer without a key", ErrMalformed)
	}
	if err := checkAddrs(p.Addrs); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
