package chk

import "errors"

var (
	// ErrCorrupt is the family of everything that is wrong with bytes somebody gave us: the share, or its server, is
	// not to be used. Each of the following is one of it under errors.Is.
	ErrCorrupt = errors.New("corrupt share")

	// ErrLayout means that the share's header or the sections it points to make no sense.
	ErrLayout = corrupt("share layout is damaged")
	// ErrUEBHash means that the UEB is not the one the cap names.
	ErrUEBHash = corrupt("URI extension block does not match the cap")
	// ErrUEB means that the UEB is the one the cap names, but contradicts itself or the cap. No share of this file can be good.
	ErrUEB = corrupt("URI extension block is malformed")
	// ErrShareChain means that the share's hash chain does not lead from its own block tree to the root in the UEB.
	ErrShareChain = corrupt("share hash chain does not verify")
	// ErrBlock means that a block, or the part of the block hash tree that came with it, is not the share's.
	ErrBlock = corrupt("block does not verify")
	// ErrCrypttextTree means that a share's copy of the crypttext hash tree is not the file's.
	ErrCrypttextTree = corrupt("crypttext hash tree does not verify")
	// ErrSegment means that ciphertext decoded from good blocks, or sent by somebody, is not the file's.
	ErrSegment = corrupt("segment does not verify")
)

var (
	// ErrShares means that the shares of a file are not the ones that its ciphertext gives: whoever made it made it so.
	ErrShares = errors.New("shares do not follow from the ciphertext")
	// ErrGeometry means that size, share counts or segment size are out of range.
	ErrGeometry = errors.New("file geometry out of range")
	// ErrTooSmall means that a plaintext of at most LiteralMax bytes belongs into a literal cap.
	ErrTooSmall = errors.New("file is small enough to be a literal")
	// ErrPlaintextSize means that the plaintext is shorter or longer than was said.
	ErrPlaintextSize = errors.New("plaintext has another size than announced")
	// ErrNoSegment means that the file has no segment, or the code no share, of that number.
	ErrNoSegment = errors.New("no such segment or share")
	// ErrRepeated means that a segment was given to the encoder a second time.
	ErrRepeated = errors.New("segment encoded twice")
	// ErrUnfinished means that Finish was called before every segment was encoded.
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
