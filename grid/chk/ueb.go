package chk

import (
	"bytes"
	"fmt"
	"strconv"

	"trunkline/caps"
)

// MaxUEB is the longest URI extension block that is read, in bytes. Real ones have 300 to 340. Tahoe's limit.
const MaxUEB = 1999

// UEB is a file's URI extension block: the roots that every share of the file is checked against. It comes from
// ParseUEB only, so it is always the one that the cap names. It is not changed after that and safe for concurrent use.
type UEB struct {
	Geometry      Geometry
	CrypttextRoot caps.Hash // root of the tree over the segments' hashes
	ShareRoot     caps.Hash // root of the tree over the shares' roots
	CrypttextHash caps.Hash // of the whole ciphertext; zero if the UEB does not tell
	Raw           []byte    // the bytes that were hashed, which is the form to send on; not to be changed
}

// ParseUEB checks raw against the cap and reads it. The hash comes first: nothing is parsed that the cap does not name.
// Then every field that is there must agree with the cap and with the others; unknown fields are passed over.
// raw is copied.
//
// Errors: ErrUEBHash (another server may have the right one), ErrUEB (whoever made the cap made it so, and all of the
// file's shares are useless), or what v.Validate says.
func ParseUEB(raw []byte, v caps.CHKVerify) (*UEB, error) {
	if err := v.Validate(); err != nil {
		return nil, fmt.Errorf("checking the verify cap: %w", err)
	}
	if len(raw) > MaxUEB {
		return nil, fmt.Errorf("%w: %d bytes long", ErrUEBHash, len(raw))
	}
	if caps.UEBHash(raw) != v.UEBHash {
		return nil, ErrUEBHash
	}
	raw = bytes.Clone(raw)
	fields, err := parseFields(raw)
	if err != nil {
		return nil, err
	}
	return fields.ueb(raw, v)
}

// field is one "key:length:value," of a UEB.
type field struct{ key, value []byte }

type fields []field

// parseFields reads the list of fields, whose keys must ascend.
func parseFields(b []byte) (fields, error) {
	out := make(fields, 0, 11)
	for len(b) > 0 {
		key, rest, ok := bytes.Cut(b, []byte(":"))
		if !ok || len(key) == 0 || bytes.ContainsFunc(key, notKey) {
			return nil, fmt.Errorf("%w: field %d has no proper name", ErrUEB, len(out))
		}
		length, rest, ok := bytes.Cut(rest, []byte(":"))
		n, numeric := parseDecimal(length)
		if !ok || !numeric || n >= uint64(len(rest)) || rest[n] != ',' {
			return nil, fmt.Errorf("%w: field %d has no proper length", ErrUEB, len(out))
		}
		if len(out) > 0 && bytes.Compare(out[len(out)-1].key, key) >= 0 {
			return nil, fmt.Errorf("%w: field %d is out of order", ErrUEB, len(out))
		}
		out = append(out, field{key, rest[:n]})
		b = rest[n+1:]
	}
	return out, nil
}

func notKey(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
}

// parseDecimal reads a number in its one spelling: no sign, no leading zero.
func parseDecimal(b []byte) (uint64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	if err != nil || len(b) > 1 && b[0] == '0' || b[0] == '+' {
		return 0, false
	}
	return n, true
}

func (f fields) get(key string) ([]byte, bool) {
	for _, x := range f {
		if string(x.key) == key {
			return x.value, true
		}
	}
	return nil, false
}

// ueb makes sense of the fields. The names are Tahoe's.
func (f fields) ueb(raw []byte, v caps.CHKVerify) (*UEB, error) {
	u := &UEB{Raw: raw}
	text, _ := f.get("segment_size")
	segmentSize, ok := parseDecimal(text)
	if !ok {
		return nil, fmt.Errorf("%w: no segment size", ErrUEB)
	}
	var err error
	if u.Geometry, err = FromSegmentSize(v.Size, v.K, v.N, segmentSize); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUEB, err)
	}
	for _, h := range []struct {
		key      string
		to       *caps.Hash
		required bool
	}{
		{"crypttext_hash", &u.CrypttextHash, false},
		{"crypttext_root_hash", &u.CrypttextRoot, true},
		{"share_root_hash", &u.ShareRoot, true},
	} {
		value, ok := f.get(h.key)
		if !ok && !h.required {
			continue
		}
		if len(value) != len(h.to) {
			return nil, fmt.Errorf("%w: %s is %d bytes", ErrUEB, h.key, len(value))
		}
		copy(h.to[:], value)
	}
	for _, x := range u.Geometry.redundant() {
		if value, ok := f.get(x.key); ok && string(value) != x.value {
			return nil, fmt.Errorf("%w: %s contradicts the rest", ErrUEB, x.key)
		}
	}
	return u, nil
}

type pair struct{ key, value string }

// redundant lists the fields of a UEB that follow from the geometry.
func (g Geometry) redundant() []pair {
	codec := func(size uint64) string { return fmt.Sprintf("%d-%d-%d", size, g.K, g.N) }
	return []pair{
		{"codec_name", "crs"},
		{"codec_params", codec(g.SegmentSize)},
		{"needed_shares", strconv.Itoa(g.K)},
		{"num_segments", strconv.Itoa(g.Segments)},
		{"segment_size", strconv.FormatUint(g.SegmentSize, 10)},
		{"size", strconv.FormatUint(g.Size, 10)},
		{"tail_codec_params", codec(g.PaddedTail)},
		{"total_shares", strconv.Itoa(g.N)},
	}
}

// appendUEB writes the eleven fields that Tahoe writes, in their order.
func appendUEB(dst []byte, g Geometry, crypttextHash, crypttextRoot, shareRoot caps.Hash) []byte {
	put := func(key, value string) {
		dst = append(dst, key...)
		dst = append(dst, ':')
		dst = strconv.AppendInt(dst, int64(len(value)), 10)
		dst = append(dst, ':')
		dst = append(dst, value...)
		dst = append(dst, ',')
	}
	for _, x := range g.redundant() {
		switch x.key {
		case "needed_shares":
			put("crypttext_hash", string(crypttextHash[:]))
			put("crypttext_root_hash", string(crypttextRoot[:]))
		case "size":
			put("share_root_hash", string(shareRoot[:]))
		}
		put(x.key, x.value)
	}
	return dst
}

// UEBLen is the length of the UEB that the encoder writes for a file, known before the file is encoded.
func UEBLen(g Geometry) int {
	var none caps.Hash
	return len(appendUEB(nil, g, none, none, none))
}
