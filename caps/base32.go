package caps

const base32Alphabet = "abcdefghijklmnopqrstuvwxyz234567"

// EncodeBase32 writes b in Tahoe's base32: RFC 4648 bit order, lower case, no padding.
// The result has ceil(8*len(b)/5) characters.
func EncodeBase32(b []byte) string {
	return string(appendBase32(make([]byte, 0, base32Len(len(b))), b))
}

// DecodeBase32 reads what EncodeBase32 writes and nothing else: each byte string has one
// spelling. The text may have any length, zero included.
//
// Errors: ErrBase32Alphabet (upper case and '=' included), ErrBase32Length (1, 3 or 6
// modulo 8), ErrBase32TrailingBits (the text would not survive a round trip). No error
// quotes the text, which may be secret.
//
// Source: tahoe-formats 1.1.
func DecodeBase32(s string) ([]byte, error) {
	out := make([]byte, len(s)*5/8)
	if err := decodeBase32(out, s); err != nil {
		return nil, err
	}
	return out, nil
}

// base32Len is the number of characters that n bytes take.
func base32Len(n int) int { return (n*8 + 4) / 5 }

func appendBase32(dst, b []byte) []byte {
	var acc uint32
	var bits uint
	for _, c := range b {
		acc = acc<<8 | uint32(c)
		bits += 8
		for bits >= 5 {
			bits -= 5
			dst = append(dst, base32Alphabet[acc>>bits&31])
		}
	}
	if bits > 0 {
		dst = append(dst, base32Alphabet[acc<<(5-bits)&31])
	}
	return dst
}

// decodeBase32 fills dst, whose length must be len(s)*5/8 rounded down, from s.
func decodeBase32(dst []byte, s string) error {
	var acc uint32
	var bits uint
	n := 0
	for i := range len(s) {
		v, ok := base32Value(s[i])
		if !ok {
			return ErrBase32Alphabet
		}
		acc = acc<<5 | uint32(v)
		bits += 5
		if bits >= 8 {
			bits -= 8
			dst[n] = byte(acc >> bits)
			n++
		}
	}
	// Five or more bits left over hold a whole character that encodes nothing.
	if bits >= 5 {
		return ErrBase32Length
	}
	if acc&(1<<bits-1) != 0 {
		return ErrBase32TrailingBits
	}
	return nil
}

func base32Value(c byte) (byte, bool) {
	switch {
	case 'a' <= c && c <= 'z':
		return c - 'a', true
	case '2' <= c && c <= '7':
		return c - '2' + 26, true
	}
	return 0, false
}
