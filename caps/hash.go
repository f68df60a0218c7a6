package caps

import (
	"crypto/sha256"
	"hash"
	"strconv"
)

// Hash is a SHA-256d value: a leaf, node or root of a hash tree, a UEB hash, a
// fingerprint. It is public in the sense that it opens nothing; values that open
// something are a Secret, a ReadKey or one of their kin.
type Hash [32]byte

// String is the hash in base32, 52 characters.
func (h Hash) String() string { return EncodeBase32(h[:]) }

// IsZero reports whether h is all zero bytes, which no hash ever is in practice.
func (h Hash) IsZero() bool { return h == Hash{} }

// The tags of Tahoe's hashes, each already in the netstring form in which it is hashed.
// A test recomputes the lengths.
const (
	tagStorageIndex          = "43:allmydata_immutable_key_to_storage_index_v1,"
	tagBlock                 = "29:allmydata_encoded_subshare_v1,"
	tagUEB                   = "26:allmydata_uri_extension_v1,"
	tagCrypttext             = "22:allmydata_crypttext_v1,"
	tagCrypttextSegment      = "30:allmydata_crypttext_segment_v1,"
	tagPlaintext             = "22:allmydata_plaintext_v1,"
	tagPlaintextSegment      = "30:allmydata_plaintext_segment_v1,"
	tagTreePad               = "22:Merkle tree empty leaf,"
	tagTreeNode              = "25:Merkle tree internal node,"
	tagWriteKey              = "40:allmydata_mutable_privkey_to_writekey_v1,"
	tagReadKey               = "40:allmydata_mutable_writekey_to_readkey_v1,"
	tagMutableSI             = "45:allmydata_mutable_readkey_to_storage_index_v1,"
	tagDataKey               = "39:allmydata_mutable_readkey_to_datakey_v1,"
	tagFingerprint           = "42:allmydata_mutable_pubkey_to_fingerprint_v1,"
	tagWriteEnablerMaster    = "53:allmydata_mutable_writekey_to_write_enabler_master_v1,"
	tagWriteEnabler          = "69:allmydata_mutable_write_enabler_master_and_nodeid_to_write_enabler_v1,"
	tagRWCapSalt             = "40:allmydata_dirnode_child_rwcap_to_salt_v1,"
	tagRWCapKey              = "62:allmydata_mutable_writekey_and_salt_to_dirnode_child_capkey_v1,"
	tagFileRenew             = "32:allmydata_file_renewal_secret_v1,"
	tagFileCancel            = "31:allmydata_file_cancel_secret_v1,"
	tagBucketRenew           = "34:allmydata_bucket_renewal_secret_v1,"
	tagBucketCancel          = "33:allmydata_bucket_cancel_secret_v1,"
	tagMutableContainer      = "34:allmydata_mutable_container_header,"
	tagBackupDirectory       = "29:allmydata_backupdb_dirhash_v1,"
	convergenceTagBeforeArgs = "allmydata_immutable_content_to_key_with_added_secret_v1+"
)

// BlockHash is the leaf of a share's block hash tree: block is one share's part of one
// segment (for MDMF the salt, then the block). It does not allocate.
func BlockHash(block []byte) Hash { return tagged(tagBlock, block) }

// UEBHash is the hash of a URI extension block that a CHK cap carries.
func UEBHash(ueb []byte) Hash { return tagged(tagUEB, ueb) }

// CrypttextHash is the hash of a whole file's ciphertext. See NewCrypttextHash for a
// file that does not fit in memory.
func CrypttextHash(crypttext []byte) Hash { return tagged(tagCrypttext, crypttext) }

// CrypttextSegmentHash is the leaf of the crypttext hash tree: segment is the ciphertext
// without padding. It does not allocate.
func CrypttextSegmentHash(segment []byte) Hash { return tagged(tagCrypttextSegment, segment) }

// PlaintextHash is Tahoe's hash of a whole plaintext, which no format uses any more.
func PlaintextHash(plaintext []byte) Hash { return tagged(tagPlaintext, plaintext) }

// PlaintextSegmentHash is the like for one segment.
func PlaintextSegmentHash(segment []byte) Hash { return tagged(tagPlaintextSegment, segment) }

// BackupDirectoryHash is what Tahoe's backup command files a directory's contents under.
func BackupDirectoryHash(contents []byte) Hash { return tagged(tagBackupDirectory, contents) }

// MutableContainerMagic is the last five bytes of the magic of a mutable container whose
// first line is header, its newline included.
func MutableContainerMagic(header string) [5]byte {
	h := tagged(tagMutableContainer, []byte(header))
	return [5]byte(h[:5])
}

// Hasher is a tagged hash that is fed piece by piece. One goroutine at a time.
type Hasher struct{ h hash.Hash }

// NewCrypttextHash hashes a whole file's ciphertext, without padding, as it streams by.
func NewCrypttextHash() *Hasher { return newHasher(tagCrypttext) }

// NewConvergenceHash hashes a plaintext to its convergent key, which is the first 16
// bytes of the sum: see Hasher.ReadKey.
//
// secret is the client's convergence secret, any length; k and n are the share counts;
// segmentSize is the segment size in bytes after rounding up to a multiple of k, not the
// configured maximum.
//
// Source: tahoe-formats 3.1.
func NewConvergenceHash(secret []byte, k, n int, segmentSize uint64) *Hasher {
	params := strconv.AppendInt(nil, int64(k), 10)
	params = append(params, ',')
	params = strconv.AppendInt(params, int64(n), 10)
	params = append(params, ',')
	params = strconv.AppendUint(params, segmentSize, 10)
	tag := appendNetstring([]byte(convergenceTagBeforeArgs), secret)
	tag = appendNetstring(tag, params)
	return newHasher(string(appendNetstring(nil, tag)))
}

func newHasher(prefix string) *Hasher {
	h := sha256.New()
	h.Write([]byte(prefix))
	return &Hasher{h}
}

// Write absorbs p. It never fails.
func (h *Hasher) Write(p []byte) (int, error) { return h.h.Write(p) }

// Sum is the hash of what was written so far; writing may go on.
func (h *Hasher) Sum() Hash {
	var inner Hash
	h.h.Sum(inner[:0])
	return sha256.Sum256(inner[:])
}

// ReadKey is the key made of the sum's first 16 bytes, for NewConvergenceHash.
func (h *Hasher) ReadKey() ReadKey {
	sum := h.Sum()
	return NewReadKey([16]byte(sum[:16]))
}

// tagged is H of tahoe-formats 2. prefix is a tag in its netstring form. The digest stays
// on the stack, so that hashing a block costs no allocation.
func tagged(prefix string, x []byte) Hash {
	var buf [96]byte
	d := sha256.New()
	d.Write(append(buf[:0], prefix...))
	d.Write(x)
	var inner Hash
	d.Sum(inner[:0])
	return sha256.Sum256(inner[:])
}

// taggedPair is H2 of tahoe-formats 2, for short values: all of ours are tags and keys.
func taggedPair(prefix string, a, b []byte) Hash {
	var buf [192]byte
	msg := append(buf[:0], prefix...)
	msg = appendNetstring(msg, a)
	msg = appendNetstring(msg, b)
	inner := sha256.Sum256(msg)
	return sha256.Sum256(inner[:])
}

// appendNetstring appends "<decimal length>:<x>,".
func appendNetstring(dst, x []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(x)), 10)
	dst = append(dst, ':')
	dst = append(dst, x...)
	return append(dst, ',')
}
