package caps

import "crypto/sha1" //nolint:gosec // Tahoe orders servers by SHA-1; nothing rests on its strength

// StorageIndex is where an object's shares are kept on every server: 16 bytes, known to
// the servers, opening nothing.
type StorageIndex [16]byte

// StorageIndexOf is the storage index of the immutable file with that key.
func StorageIndexOf(key ReadKey) StorageIndex {
	b := key.Bytes()
	h := tagged(tagStorageIndex, b[:])
	return StorageIndex(h[:16])
}

// ParseStorageIndex reads 26 characters of base32.
//
// Errors: ErrBase32Length (not 26 characters), ErrBase32Alphabet, ErrBase32TrailingBits.
func ParseStorageIndex(s string) (StorageIndex, error) {
	var si StorageIndex
	if len(s) != base32Len(len(si)) {
		return StorageIndex{}, ErrBase32Length
	}
	if err := decodeBase32(si[:], s); err != nil {
		return StorageIndex{}, err
	}
	return si, nil
}

// String is the storage index in base32, 26 characters, as in Tahoe's directory names.
func (si StorageIndex) String() string { return EncodeBase32(si[:]) }

// IsZero reports whether si is all zero bytes.
func (si StorageIndex) IsZero() bool { return si == StorageIndex{} }

// MarshalText writes what String gives.
func (si StorageIndex) MarshalText() ([]byte, error) { return []byte(si.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (si *StorageIndex) UnmarshalText(text []byte) error {
	parsed, err := ParseStorageIndex(string(text))
	if err != nil {
		return err
	}
	*si = parsed
	return nil
}

// Permutation is the rank of a server for this storage index: servers are asked in
// ascending order of it. seed is what the server announces; ours its 20-byte peer id.
//
// Source: tahoe-formats 4.10.
func (si StorageIndex) Permutation(seed []byte) [20]byte {
	return sha1.Sum(append(si[:], seed...)) //nolint:gosec // see the import
}
