package caps

// AreaCode names a grid: it is the grid's public key, written as an IPNS name. It is
// public and comparable. The zero value means "none", which is the home grid.
type AreaCode struct{ key PublicKey }

// NewAreaCode is the area code of the grid with that key.
func NewAreaCode(k PublicKey) AreaCode { return AreaCode{k} }

// ParseAreaCode reads the one accepted spelling: base36 of a CIDv1 with codec libp2p-key
// and the identity multihash of an Ed25519 key, 62 characters of lower case that begin
// k51. Every IPNS tool reads and prints the same text.
//
// Errors, all ErrKey: ErrAreaCode, and those of ParsePublicKey.
func ParseAreaCode(s string) (AreaCode, error) {
	if len(s) != areaCodeChars || s[0] != 'k' {
		return AreaCode{}, ErrAreaCode
	}
	b, ok := decodeKey(s[1:], base36Alphabet, areaCodeLead)
	if !ok {
		return AreaCode{}, ErrAreaCode
	}
	k, err := ParsePublicKey(b)
	if err != nil {
		return AreaCode{}, err
	}
	return AreaCode{k}, nil
}

// Key is the grid's public key.
func (a AreaCode) Key() PublicKey { return a.key }

// String is the area code in full. The zero code gives "".
func (a AreaCode) String() string {
	if a.IsZero() {
		return ""
	}
	return "k" + encodeKey(a.key, base36Alphabet, areaCodeLead)
}

// Short is an abbreviation for people, "k51…" and the last ten characters; it is not
// accepted anywhere. It shows the end because all codes share their first twelve.
func (a AreaCode) Short() string {
	s := a.String()
	if s == "" {
		return ""
	}
	return s[:3] + "…" + s[len(s)-10:]
}

// IsZero reports whether a is the zero code, which means "none".
func (a AreaCode) IsZero() bool { return a.key.IsZero() }

// MarshalText writes what String gives.
func (a AreaCode) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote; an empty text is the zero code.
func (a *AreaCode) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = AreaCode{}
		return nil
	}
	parsed, err := ParseAreaCode(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
