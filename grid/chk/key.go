package chk

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"

	"trunkline/caps"
)

// ConvergenceKey reads the whole plaintext, which must have g.Size bytes, and derives its convergent key: the same
// plaintext, geometry and secret give the same key, and with it the same cap and the same shares.
//
// secret is the client's convergence secret, any length. This is a pass of its own over the file, before encoding.
//
// Errors: ErrPlaintextSize, or what the reader returned.
func ConvergenceKey(secret []byte, g Geometry, plaintext io.Reader) (caps.ReadKey, error) {
	if err := g.valid(); err != nil {
		return caps.ReadKey{}, err
	}
	h := caps.NewConvergenceHash(secret, g.K, g.N, g.SegmentSize)
	buf := make([]byte, min(256<<10, g.Size+1))
	n, err := io.CopyBuffer(h, io.LimitReader(plaintext, int64(g.Size)), buf)
	if err != nil {
		return caps.ReadKey{}, fmt.Errorf("reading the plaintext: %w", err)
	}
	if uint64(n) != g.Size {
		return caps.ReadKey{}, fmt.Errorf("%w: it ends after %d of %d bytes", ErrPlaintextSize, n, g.Size)
	}
	switch _, err := io.ReadFull(plaintext, buf[:1]); err {
	case io.EOF:
		return h.ReadKey(), nil
	case nil:
		return caps.ReadKey{}, fmt.Errorf("%w: it goes on after %d bytes", ErrPlaintextSize, g.Size)
	default:
		return caps.ReadKey{}, fmt.Errorf("reading the plaintext: %w", err)
	}
}

// Stream is a file's key stream: AES-128 in counter mode from zero, one stream over the whole file, so that any range
// can be encrypted or decrypted alone. Safe for concurrent use.
type Stream struct{ open func() cipher.Block } // a closure, so that no fmt verb finds the key schedule

// NewStream is the stream of one key.
func NewStream(key caps.ReadKey) Stream {
	b := key.Bytes()
	block, err := aes.NewCipher(b[:])
	if err != nil {
		panic("chk: AES refuses a key of 16 bytes: " + err.Error())
	}
	return Stream{func() cipher.Block { return block }}
}

// XOR encrypts or decrypts src, which starts at byte offset of the file, into dst. They may be the same slice but not
// overlap otherwise; dst must not be shorter.
func (s Stream) XOR(dst, src []byte, offset uint64) {
	var counter, skipped [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], offset/aes.BlockSize)
	ctr := cipher.NewCTR(s.open(), counter[:])
	if into := offset % aes.BlockSize; into != 0 {
		ctr.XORKeyStream(skipped[:into], skipped[:into])
	}
	ctr.XORKeyStream(dst, src)
}

// Decrypt decrypts data in place, which starts at byte offset of the file. Who decrypts more than one piece keeps a
// Stream instead.
func Decrypt(key caps.ReadKey, offset uint64, data []byte) { NewStream(key).XOR(data, data, offset) }
