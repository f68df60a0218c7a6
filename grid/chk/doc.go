// Package chk is Tahoe-LAFS's immutable file format: it turns a plaintext into the bytes of its n shares, and any k
// good shares back into the plaintext. Share files come out byte for byte as Tahoe's own.
//
// Bytes in, bytes out: the package knows no network and no disk. What it needs from others arrives as slices and
// readers, and what arrives is never trusted. From the cap alone (a caps.CHKVerify) follows the UEB hash, from the UEB
// the two roots, from those every block and every segment.
//
//	plaintext --AES-CTR--> ciphertext, cut into segments of Geometry.SegmentSize, the last one shorter
//	segment   --zero pad--> k pieces --erasure code--> n blocks; block i goes to share i
//	share i   = header, its block of every segment, hash trees, UEB        (Layout)
//
// Writing: NewGeometry, ConvergenceKey (or a random key), NewEncoder, EncodeSegment for each segment, Finish.
//
// Reading: ParseLayout on a share's first bytes, ParseUEB, NewShare, Share.CheckBlock for each block, Decoder.Decode
// for each segment, CrypttextTree.Check, and Stream.XOR by whoever holds the key. Everything but the last step works
// with a verify cap.
//
// Files of up to LiteralMax bytes have no shares: they live inside their cap (caps.NewLiteral).
//
// Mutable files (SDMF, MDMF) share the hashes and the erasure code but nothing else; package ssk has them.
//
// Source: Tahoe-LAFS file-encoding.rst and allmydata/immutable/{encode,layout,upload}.py at commit f002fd0d.
package chk

const (
	// LiteralMax is the largest plaintext, in bytes, that becomes a literal cap instead of shares.
	LiteralMax = 55

	// DefaultMaxSegment is Tahoe's default for the largest segment, in bytes, since release 1.19. Up to 1.18 it was
	// 131072. It is rounded up to a multiple of k, and enters the convergent key in that form.
	DefaultMaxSegment = 1 << 20

	// MaxSegment bounds what a stranger's UEB can make a reader hold in memory, in bytes: no segment may be larger
	// than this rounded up to a multiple of k.
	MaxSegment = 16 << 20

	// MaxSegments bounds the segments of a file, and with them the hash trees: 16 TiB at DefaultMaxSegment.
	MaxSegments = 1 << 24
)
