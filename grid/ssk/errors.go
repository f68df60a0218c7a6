package ssk

import "errors"

var (
	// ErrCorrupt is the family of everything that is wrong with bytes somebody gave us: the share, or its server, is
	// not to be used. Each of the following is one of it under errors.Is.
	ErrCorrupt = errors.New("corrupt share")

	// ErrLayout means that the share's header or the sections it points to make no sense.
	ErrLayout = corrupt("share layout is damaged")
	// ErrPublicKey means that the public key is not the one the cap names.
	ErrPublicKey = corrupt("public key does not match the cap")
	// ErrSignature means that the version was not signed with that key.
	ErrSignature = corrupt("signature does not verify")
	// ErrFormat means that the share is SDMF where the cap says MDMF, or the reverse.
	ErrFormat = corrupt("share is not of the cap's format")
	// ErrShareChain means that the share's hash chain does not lead from its own block tree to the signed root.
	ErrShareChain = corrupt("share hash chain does not verify")
	// ErrBlock means that a block, its salt, or the part of the block hash tree that came with it is not the share's.
	ErrBlock = corrupt("block does not verify")
	// ErrPrivateKey means that a share's private key is not the one that the write cap was made from.
	ErrPrivateKey = corrupt("private key does not match the write cap")
)

var (
	// ErrInconsistent means that good blocks of one segment do not go together. Whoever holds the write cap made them
	// so; no server is to blame.
	ErrInconsistent = errors.New("shares of this version contradict each other")
	// ErrGeometry means that length, share counts or segment size are out of range.
	ErrGeometry = errors.New("file geometry out of range")
	// ErrKeys means that bytes are no RSA private key of 2048 bits.
	ErrKeys = errors.New("not a 2048-bit RSA private key")
	// ErrPlaintextSize means that the plaintext is shorter or longer than was said.
	ErrPlaintextSize = errors.New("plaintext has another size than announced")
	// ErrChanged means that a segment was encoded again from other plaintext than the first time.
	ErrChanged = errors.New("plaintext has changed since it was encoded")
	// ErrNoSegment means that the file has no segment, or the code no share, of that number.
	ErrNoSegment = errors.New("no such segment or share")
	// ErrUnfinished means that Finish was called before every segment that had to be was encoded.
	ErrUnfinished = errors.New("not every segment was encoded")
	// ErrBlocks means that the blocks given for decoding do not fit the segment, by number or by length.
	ErrBlocks = errors.New("blocks do not fit the segment")
	// ErrTooFew means that fewer than k blocks were given for decoding.
	ErrTooFew = errors.New("too few blocks to decode the segment")
)

// badBytes is a sentinel of the family ErrCorrupt.
type badBytes struct{ text string }

func corrupt(text string) error   { return &badBytes{text} }
func (e *badBytes) Error() string { return e.text }
func (*badBytes) Is(t error) bool { return t == ErrCorrupt }
