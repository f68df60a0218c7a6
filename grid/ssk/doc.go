// Package ssk is Tahoe-LAFS's mutable file format, in both its encodings: SDMF, one segment of any size, and MDMF,
// segments of 128 KiB that change in place.
//
// Bytes in, bytes out: the package knows no network and no disk, and what arrives is never trusted. From the verify
// cap alone (a caps.MutableVerify) follow the public key, from its signature the version's Header, and from the root
// in it every block of every share.
//
//	segment --AES-CTR under its own salt--> ciphertext --zero pad--> k pieces --erasure code--> n blocks
//	entry   = block (SDMF) or salt and block (MDMF): what a share keeps of a segment, and what is hashed
//	share i = front (head, keys, signature, trees), its entry of every segment, back
//
// Writing: GenerateKeys or OpenKeys, NewEncoder, Encode for each segment, Finish, and then for each share Front, the
// entries, Back. With EncoderConfig.Old only the segments that changed are encoded and written (MDMF in place).
//
// Reading: ParseHead on a share's first bytes, VerifySignature, ParseChain, NewShare, Share.Check for each entry,
// Decoder.Decode for each segment, and Decrypt by whoever holds the read key. Everything but the last step works with
// a verify cap. Through other hands: Prover at the side that has shares, Receiver at the one that has none.
//
// A mutable file has no hash over its ciphertext. What is checked is that each block is one that the holder of the
// write cap signed; a holder who signs shares that do not belong together shows different readers different contents.
// Nor does anything prove that a version is the newest.
//
// Source: tahoe-formats 6; Tahoe-LAFS allmydata/mutable/{layout,publish,retrieve}.py.
package ssk

const (
	// MaxShares bounds n: it is one byte in the header.
	MaxShares = 255

	// DefaultSegment is the segment size of MDMF files in bytes, before it is rounded up to a multiple of k.
	DefaultSegment = 128 << 10

	// MaxSegment bounds what a header can make a reader hold in memory, in bytes: no segment may be larger than this
	// rounded up to a multiple of k. An SDMF file is one segment, so this is the largest of them too. Who serves
	// strangers may want a smaller bound and compare it with Header.PaddedLen.
	MaxSegment = 128 << 20

	// MaxSegments bounds the segments of a file and with them the hash trees: 512 GiB of MDMF.
	MaxSegments = 1 << 22

	// SaltLen is the length of a salt in bytes.
	SaltLen = 16

	// HeadMax is how much of a share ParseHead wants to see, in bytes.
	HeadMax = 123

	// Bounds of the parts of a share that are not given by its geometry, in bytes. Keys have 2048 bits wherever Tahoe
	// writes; what is larger than these is refused before it is read.
	MaxPublicKey  = 1024
	MaxSignature  = 512
	MaxPrivateKey = 4096
	MaxChain      = 8 * chainEntry
)
