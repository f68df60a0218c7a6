package caps

import "crypto/sha256"

// WriteKey is the authority to change a mutable file, and with that to read it. It prints
// as "[secret]" and encoders refuse it.
//
// Source of all in this file: tahoe-formats 2 and 6.
type WriteKey struct{ key16 }

// NewWriteKey wraps the bytes of a key.
func NewWriteKey(b [16]byte) WriteKey { return WriteKey{newKey16(b)} }

// WriteKeyOf derives the write key from an RSA private key, as unencrypted PKCS#8 DER
// exactly as it is stored: a re-serialised key may hash to another.
func WriteKeyOf(privateDER []byte) WriteKey {
	h := tagged(tagWriteKey, privateDER)
	return NewWriteKey([16]byte(h[:16]))
}

// Bytes is the key itself. Do not log it or put it in an error.
func (k WriteKey) Bytes() [16]byte { return k.bytes() }

// Equal compares in constant time.
func (k WriteKey) Equal(o WriteKey) bool { return k.equal(o.key16) }

// ReadKey is the authority to read alone.
func (k WriteKey) ReadKey() MutableReadKey {
	b := k.bytes()
	h := tagged(tagReadKey, b[:])
	return NewMutableReadKey([16]byte(h[:16]))
}

// WriteEnabler is what lets the holder change the slot on one server. peer is the
// server's 20-byte peer id.
func (k WriteKey) WriteEnabler(peer [20]byte) Secret {
	b := k.bytes()
	master := tagged(tagWriteEnablerMaster, b[:])
	return Secret(taggedPair(tagWriteEnabler, master[:], peer[:]))
}

// MutableReadKey is the authority to read a mutable file. It prints as "[secret]" and
// encoders refuse it.
type MutableReadKey struct{ key16 }

// NewMutableReadKey wraps the bytes of a key.
func NewMutableReadKey(b [16]byte) MutableReadKey { return MutableReadKey{newKey16(b)} }

// Bytes is the key itself. Do not log it or put it in an error.
func (k MutableReadKey) Bytes() [16]byte { return k.bytes() }

// Equal compares in constant time.
func (k MutableReadKey) Equal(o MutableReadKey) bool { return k.equal(o.key16) }

// StorageIndex is where the file with this key is kept.
func (k MutableReadKey) StorageIndex() StorageIndex {
	b := k.bytes()
	h := tagged(tagMutableSI, b[:])
	return StorageIndex(h[:16])
}

// DataKey is the AES-128 key of the contents under that salt, which SDMF calls IV.
func (k MutableReadKey) DataKey(salt [16]byte) ReadKey {
	b := k.bytes()
	h := taggedPair(tagDataKey, salt[:], b[:])
	return NewReadKey([16]byte(h[:16]))
}

// Fingerprint is the hash of an RSA public key, as SubjectPublicKeyInfo DER exactly as it
// was found, that all caps of a mutable file carry.
func Fingerprint(publicDER []byte) Hash { return tagged(tagFingerprint, publicDER) }

// RWCapSalt is the salt under which a directory entry hides a child's write cap: it is
// derived from the cap's full text, so that packing twice gives the same bytes.
func RWCapSalt(capText string) [16]byte {
	h := tagged(tagRWCapSalt, []byte(capText))
	return [16]byte(h[:16])
}

// RWCapKey is the AES-128 key that goes with the salt in the directory with that write
// key.
func RWCapKey(salt [16]byte, directory WriteKey) ReadKey {
	b := directory.bytes()
	h := taggedPair(tagRWCapKey, salt[:], b[:])
	return NewReadKey([16]byte(h[:16]))
}

// RWCapMAC authenticates x, the salt and the encrypted cap of a directory entry. It looks
// like HMAC and is not: the key is not padded to the block size.
func RWCapMAC(key ReadKey, x []byte) Hash {
	ipad, opad := key.Bytes(), key.Bytes()
	for i := range ipad {
		ipad[i] ^= 0x36
		opad[i] ^= 0x5c
	}
	inner := sha256.New()
	inner.Write(ipad[:])
	inner.Write(x)
	return sha256.Sum256(inner.Sum(opad[:]))
}
