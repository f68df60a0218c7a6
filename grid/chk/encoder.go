package chk

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"trunkline/caps"
	"trunkline/grid/fec"
)

// EncoderConfig says what to encode and how.
type EncoderConfig struct {
	// Key is the file's key: from ConvergenceKey, or 16 random bytes used for no other file.
	Key caps.ReadKey
	// Geometry is the file's, from NewGeometry. Files of at most LiteralMax bytes are refused: they are literals. So
	// is K = 256, which crashes Tahoe's decoder.
	Geometry Geometry
	// Code is the erasure code for K of N, which may be shared with other files. Nil: one is made.
	Code *fec.Code
	// LayoutVersion is the version of the share layout, 1 or 2. Zero: 1 unless the file is too large for it.
	LayoutVersion int
	// UEB, if not nil, is that of a file whose shares are to be made again, with the same blocks and the same UEB. Then
	// what is encoded is the file's ciphertext, Key and Geometry are not used, and Encoded.Cap stays zero.
	UEB *UEB
}

// Encoder turns the segments of one file into the blocks of its n shares, and at the end into the rest of each share.
//
// EncodeSegment may run for several segments at once, on as many cores as the caller likes; each segment is encoded
// exactly once, in any order. The one hash that spans the file is taken in order all the same: a segment that comes
// early waits in memory for those before it, and whichever call brings the next one absorbs all that follow. While one
// call is at that, others wait rather than pile up more than maxEarly segments. So memory is bounded by how far the
// caller itself runs ahead: keep a window of a few segments and fill it in order.
//
// Every byte of ciphertext is hashed three times (its block, its segment, the file), each parity byte once: that is
// what the format asks for. Nothing is copied; the encryption writes the segment where its pieces are.
//
// It starts no goroutine. Leaving it unfinished costs nothing.
type Encoder struct {
	key    caps.ReadKey
	ueb    *UEB // of a file that exists; nil: it is new
	g      Geometry
	code   *fec.Code
	stream Stream
	layout Layout
	uebLen int
	pool   sync.Pool // of *Blocks

	crypttext []caps.Hash   // by segment
	blocks    [][]caps.Hash // by share, then segment; one row serves all shares if k = 1

	mu        sync.Mutex
	caughtUp  sync.Cond // next has moved, or nobody is absorbing any more
	begun     []bool
	early     map[int]*Blocks // encrypted, waiting to be absorbed
	next      int             // the segment to absorb
	absorbing bool            // someone is at it
	whole     *caps.Hasher    // used only by who set absorbing
	done      int             // segments encoded
}

// maxEarly is how many segments may wait for the hash over the whole file while it is catching up.
const maxEarly = 8

// NewEncoder prepares to encode one file.
//
// Errors: ErrTooSmall, ErrGeometry, ErrLayout (no such version).
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	g := cfg.Geometry
	if cfg.UEB != nil {
		g = cfg.UEB.Geometry
	}
	layout, err := NewLayout(g, cfg.LayoutVersion)
	if err != nil {
		return nil, err
	}
	if g.Size <= LiteralMax && cfg.UEB == nil {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooSmall, g.Size)
	}
	if g.K == fec.MaxShares {
		return nil, fmt.Errorf("%w: k = %d cannot be read by Tahoe", ErrGeometry, g.K)
	}
	code := cfg.Code
	if code == nil {
		if code, err = fec.New(g.K, g.N); err != nil {
			return nil, err
		}
	}
	if code.K() != g.K || code.N() != g.N {
		return nil, fmt.Errorf("%w: a %d-of-%d code for a %d-of-%d file", ErrGeometry, code.K(), code.N(), g.K, g.N)
	}
	e := &Encoder{
		key: cfg.Key, ueb: cfg.UEB, g: g, code: code, stream: NewStream(cfg.Key), layout: layout, uebLen: UEBLen(g),
		crypttext: make([]caps.Hash, g.Segments),
		blocks:    make([][]caps.Hash, g.N),
		begun:     make([]bool, g.Segments),
		early:     make(map[int]*Blocks),
		whole:     caps.NewCrypttextHash(),
	}
	if e.ueb != nil {
		e.uebLen = len(e.ueb.Raw)
	}
	e.caughtUp.L = &e.mu
	for i := range e.blocks {
		if i > 0 && g.K == 1 {
			e.blocks[i] = e.blocks[0]
		} else {
			e.blocks[i] = make([]caps.Hash, g.Segments)
		}
	}
	return e, nil
}

// Geometry is the file's.
func (e *Encoder) Geometry() Geometry { return e.g }

// Layout is that of all the shares.
func (e *Encoder) Layout() Layout { return e.layout }

// ShareLen is the length of every share in bytes, known from the start.
func (e *Encoder) ShareLen() uint64 { return e.layout.ShareLen(e.uebLen) }

// Header is the beginning of every share, known from the start. The blocks follow it.
func (e *Encoder) Header() []byte { return e.layout.Header() }

// Blocks are the n blocks of one segment, in memory that the encoder lends out until Release.
type Blocks struct {
	// Segment is the number of the segment they belong to.
	Segment int
	// Data is the blocks by share number, all of one length. Where k = 1 they are one slice n times. Read only.
	Data [][]byte

	e    *Encoder
	buf  []byte // n blocks back to back: the padded segment is the first k of them
	refs atomic.Int32
}

// Release gives the memory back once the blocks are sent. Call it once; the blocks must not be touched afterwards.
func (b *Blocks) Release() {
	if b.refs.Add(-1) == 0 {
		b.e.pool.Put(b)
	}
}

// crypttext is the segment without padding.
func (b *Blocks) crypttext() []byte { return b.buf[:b.e.g.SegmentLen(b.Segment)] }

// EncodeSegment encrypts segment seg, whose plaintext must have Geometry.SegmentLen(seg) bytes, and encodes it. It
// keeps nothing of plaintext. Safe for concurrent use; see Encoder about the order. The caller releases the result.
//
// Errors: ErrNoSegment, ErrPlaintextSize, ErrRepeated.
func (e *Encoder) EncodeSegment(seg int, plaintext []byte) (*Blocks, error) {
	if len(plaintext) != e.g.SegmentLen(seg) {
		return nil, fmt.Errorf("%w: segment %d has %d bytes, not %d", ErrPlaintextSize, seg, e.g.SegmentLen(seg), len(plaintext))
	}
	b, err := e.begin(seg)
	if err != nil {
		return nil, err
	}
	return e.encode(b, plaintext)
}

// EncodeFrom is EncodeSegment for a plaintext that can be read at any offset: segment seg is read straight into the
// memory in which it is encrypted.
//
// Errors: ErrNoSegment, ErrRepeated, ErrPlaintextSize if src ends too early, or what src returned. After an error of
// src the segment can be tried again.
func (e *Encoder) EncodeFrom(seg int, src io.ReaderAt) (*Blocks, error) {
	b, err := e.begin(seg)
	if err != nil {
		return nil, err
	}
	plaintext := b.crypttext()
	if n, err := src.ReadAt(plaintext, int64(e.g.SegmentOffset(seg))); n < len(plaintext) {
		e.giveUp(b)
		if err == io.EOF {
			err = ErrPlaintextSize
		}
		return nil, fmt.Errorf("reading segment %d: %w", seg, err)
	}
	return e.encode(b, plaintext)
}

// begin reserves a segment and memory for it.
func (e *Encoder) begin(seg int) (*Blocks, error) {
	if seg < 0 || seg >= e.g.Segments {
		return nil, fmt.Errorf("%w: segment %d of %d", ErrNoSegment, seg, e.g.Segments)
	}
	e.mu.Lock()
	for e.absorbing && len(e.early) >= maxEarly { // never for a gap: the segment that fills it may be this one
		e.caughtUp.Wait()
	}
	repeated := e.begun[seg]
	e.begun[seg] = true
	e.mu.Unlock()
	if repeated {
		return nil, fmt.Errorf("%w: segment %d", ErrRepeated, seg)
	}
	b, ok := e.pool.Get().(*Blocks)
	if !ok {
		rows := e.g.N
		if e.g.K == 1 {
			rows = 1
		}
		b = &Blocks{e: e, Data: make([][]byte, e.g.N), buf: make([]byte, rows*e.g.BlockLen(0))}
	}
	b.Segment = seg
	b.refs.Store(2) // the caller, and the hash over the whole file
	size := e.g.BlockLen(seg)
	for i := range b.Data {
		at := i * size
		if e.g.K == 1 {
			at = 0
		}
		b.Data[i] = b.buf[at : at+size : at+size]
	}
	return b, nil
}

// giveUp takes back begin.
func (e *Encoder) giveUp(b *Blocks) {
	e.mu.Lock()
	e.begun[b.Segment] = false
	e.mu.Unlock()
	e.pool.Put(b)
}

// encode does the work of a segment. plaintext may be where the ciphertext goes.
func (e *Encoder) encode(b *Blocks, plaintext []byte) (*Blocks, error) {
	seg := b.Segment
	crypttext := b.crypttext()
	if e.ueb != nil {
		copy(crypttext, plaintext)
	} else {
		e.stream.XOR(crypttext, plaintext, e.g.SegmentOffset(seg))
	}
	clear(b.buf[len(crypttext):e.g.PaddedLen(seg)])
	e.absorb(b) // at once, while it is in the cache
	e.crypttext[seg] = caps.CrypttextSegmentHash(crypttext)
	if e.g.K == 1 {
		e.blocks[0][seg] = caps.BlockHash(b.Data[0])
	} else {
		if err := e.code.Encode(b.Data); err != nil {
			return nil, fmt.Errorf("encoding segment %d: %w", seg, err)
		}
		for i, block := range b.Data {
			e.blocks[i][seg] = caps.BlockHash(block)
		}
	}
	e.mu.Lock()
	e.done++
	e.mu.Unlock()
	return b, nil
}

// absorb hands a segment to the hash over the whole file. If its turn has come and nobody is absorbing, this call
// does, until a segment is missing; otherwise the segment waits for the call that brings the missing one.
func (e *Encoder) absorb(b *Blocks) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.early[b.Segment] = b
	if e.absorbing {
		return
	}
	e.absorbing = true
	for {
		b, ok := e.early[e.next]
		if !ok {
			break
		}
		delete(e.early, e.next)
		e.mu.Unlock()
		_, _ = e.whole.Write(b.crypttext()) // never fails
		b.Release()
		e.mu.Lock()
		e.next++
		e.caughtUp.Broadcast()
	}
	e.absorbing = false
	e.caughtUp.Broadcast()
}

// Finish computes the hash trees once all segments are encoded, and with them the cap. It is called once, when no
// EncodeSegment is running any more.
//
// Errors: ErrUnfinished; with EncoderConfig.UEB also ErrSegment if what was encoded is not the file's ciphertext, and
// ErrShares if the file was not encoded from it.
func (e *Encoder) Finish() (*Encoded, error) {
	e.mu.Lock()
	done := e.done
	if e.absorbing || e.next != e.g.Segments {
		done = min(done, e.g.Segments-1)
	}
	e.mu.Unlock()
	if done != e.g.Segments {
		return nil, fmt.Errorf("%w: %d of %d", ErrUnfinished, done, e.g.Segments)
	}
	out := &Encoded{g: e.g, layout: e.layout}
	out.crypttext = caps.NewTree(e.crypttext)
	out.blocks = make([]caps.Tree, e.g.N)
	roots := make([]caps.Hash, e.g.N)
	for i := range out.blocks {
		if i > 0 && e.g.K == 1 {
			out.blocks[i] = out.blocks[0]
		} else {
			out.blocks[i] = caps.NewTree(e.blocks[i])
			e.blocks[i] = nil
		}
		roots[i] = out.blocks[i].Root()
	}
	out.shares = caps.NewTree(roots)
	if e.ueb != nil {
		return out, e.again(out)
	}
	out.UEB = appendUEB(nil, e.g, e.whole.Sum(), out.crypttext.Root(), out.shares.Root())
	var err error
	if out.Cap, err = caps.NewCHKRead(e.key, caps.UEBHash(out.UEB), e.g.K, e.g.N, e.g.Size); err != nil {
		return nil, fmt.Errorf("making the cap: %w", err)
	}
	return out, nil
}

// again finishes a file that exists: its UEB stays, if it is the one that follows from the ciphertext.
func (e *Encoder) again(out *Encoded) error {
	if out.crypttext.Root() != e.ueb.CrypttextRoot {
		return ErrSegment
	}
	if out.shares.Root() != e.ueb.ShareRoot {
		return ErrShares
	}
	out.UEB = e.ueb.Raw
	return nil
}
