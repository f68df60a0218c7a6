package gbs

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"trunkline/grid/storage"
)

const (
	// maxMessage bounds an answer that carries no bytes of shares.
	maxMessage = 64 << 10
	// maxRequired bounds the gaps that a server may name of one upload; they are not used.
	maxRequired = 1 << 16
	// setTag marks an array as a set.
	setTag = 258
)

// decoding is made once: strict, and bounded before anything is allocated for it.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		MaxNestedLevels:  8,
		MaxArrayElements: maxRequired,
		MaxMapPairs:      2 * storage.MaxShares,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err) // these options are constants
	}
	return mode
}()

func decode(b []byte, to any) error {
	if err := decoding.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

// shareSet is a set of share numbers: tag 258 around an array.
type shareSet []int

// UnmarshalCBOR implements cbor.Unmarshaler. The numbers come out ascending.
func (s *shareSet) UnmarshalCBOR(b []byte) error {
	var tagged cbor.RawTag
	if err := decoding.Unmarshal(b, &tagged); err != nil {
		return err
	}
	var nums []uint64
	if tagged.Number != setTag {
		return fmt.Errorf("a set has tag %d", tagged.Number)
	}
	if err := decoding.Unmarshal(tagged.Content, &nums); err != nil {
		return err
	}
	if len(nums) > storage.MaxShares {
		return fmt.Errorf("a set of %d share numbers", len(nums))
	}
	*s = make(shareSet, 0, len(nums))
	for _, n := range nums {
		if n >= storage.MaxShares {
			return fmt.Errorf("share number %d", n)
		}
		*s = append(*s, int(n))
	}
	slices.Sort(*s)
	if len(slices.Compact(slices.Clone(*s))) != len(*s) {
		return fmt.Errorf("a set with the same share number twice")
	}
	return nil
}

// The major types of CBOR that requests are made of.
const (
	majorUint  = 0 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	majorMap   = 5 << 5
	majorTag   = 6 << 5
	null       = 0xf6
)

// encoder writes CBOR in Tahoe's order and shortest form. Bytes of shares are lent, not copied.
type encoder struct {
	parts [][]byte
	b     []byte // the part that is being written
}

func (e *encoder) head(major byte, n uint64) {
	switch {
	case n < 24:
		e.b = append(e.b, major|byte(n))
	case n < 1<<8:
		e.b = append(e.b, major|24, byte(n))
	case n < 1<<16:
		e.b = binary.BigEndian.AppendUint16(append(e.b, major|25), uint16(n))
	case n < 1<<32:
		e.b = binary.BigEndian.AppendUint32(append(e.b, major|26), uint32(n))
	default:
		e.b = binary.BigEndian.AppendUint64(append(e.b, major|27), n)
	}
}

func (e *encoder) uint(n uint64) { e.head(majorUint, n) }

func (e *encoder) text(s string) {
	e.head(majorText, uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bytes(p []byte) {
	e.head(majorBytes, uint64(len(p)))
	if len(p) > 0 {
		e.parts = append(e.parts, e.b, p)
		e.b = nil
	}
}

func (e *encoder) done() [][]byte { return append(e.parts, e.b) }

// encodeAllocate is the body of an allocation.
func encodeAllocate(nums []int, size uint64) [][]byte {
	var e encoder
	e.head(majorMap, 2)
	e.text("share-numbers")
	e.head(majorTag, setTag)
	e.head(majorArray, uint64(len(nums)))
	for _, n := range nums {
		e.uint(uint64(n)) //nolint:gosec // validated
	}
	e.text("allocated-size")
	e.uint(size)
	return e.done()
}

// encodeReason is the body of a corruption report.
func encodeReason(reason string) [][]byte {
	var e encoder
	e.head(majorMap, 1)
	e.text("reason")
	e.text(reason)
	return e.done()
}

// encodeTestWrite is the body of a test-and-write. It holds on to the slices in t.
func encodeTestWrite(t storage.TestWrite) [][]byte {
	var e encoder
	shares := make(map[int]storage.ShareChange, len(t.Shares))
	for _, c := range t.Shares {
		shares[c.Num] = c
	}
	e.head(majorMap, 2)
	e.text("test-write-vectors")
	e.head(majorMap, uint64(len(shares)))
	for _, num := range slices.Sorted(maps.Keys(shares)) {
		c := shares[num]
		e.uint(uint64(num)) //nolint:gosec // validated
		e.head(majorMap, 3)
		e.text("test")
		e.head(majorArray, uint64(len(c.Tests)))
		for _, test := range c.Tests {
			e.head(majorMap, 3)
			e.text("offset")
			e.uint(test.Offset)
			e.text("size")
			e.uint(test.Size)
			e.text("specimen")
			e.bytes(test.Specimen)
		}
		e.text("write")
		e.head(majorArray, uint64(len(c.Writes)))
		for _, w := range c.Writes {
			e.head(majorMap, 2)
			e.text("offset")
			e.uint(w.Offset)
			e.text("data")
			e.bytes(w.Data)
		}
		e.text("new-length")
		if c.Truncate {
			e.uint(c.Length)
		} else {
			e.b = append(e.b, null)
		}
	}
	e.text("read-vector")
	e.head(majorArray, uint64(len(t.Reads)))
	for _, r := range t.Reads {
		e.head(majorMap, 2)
		e.text("offset")
		e.uint(r.Offset)
		e.text("size")
		e.uint(r.Length)
	}
	return e.done()
}
