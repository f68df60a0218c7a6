package ssk

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"trunkline/caps"
)

// Decrypt decrypts src, which starts at byte offset of a segment, into dst, or encrypts. They may be the same slice
// but not overlap otherwise; dst must not be shorter. salt is the segment's, from Decoder.Decode.
//
// Source: tahoe-formats 6.3.
func Decrypt(key caps.MutableReadKey, salt [SaltLen]byte, offset uint64, dst, src []byte) {
	counter(key.DataKey(salt).Bytes(), offset).XORKeyStream(dst, src)
}

// counter is AES-128 in counter mode from zero, at byte offset of the stream.
func counter(key [16]byte, offset uint64) cipher.Stream {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], offset/aes.BlockSize)
	stream := cipher.NewCTR(block, iv[:])
	if skip := offset % aes.BlockSize; skip > 0 {
		var drop [aes.BlockSize]byte
		stream.XORKeyStream(drop[:skip], drop[:skip])
	}
	return stream
}
