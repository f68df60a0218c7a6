package ssk

import (
	"crypto/rand"
	"fmt"
	"io"
	"sync"

	"trunkline/caps"
	"trunkline/grid/fec"
)

// EncoderConfig says what to encode and how.
type EncoderConfig struct {
	// Keys is the file's key pair.
	Keys *Keys
	// Format is the file's, as its cap says.
	Format Format
	// Seq is the sequence number: one more than the highest seen anywhere.
	Seq uint64
	// K and N are the share counts, N at most MaxShares.
	K, N int
	// Length of the contents in bytes.
	Length uint64
	// Code is the erasure code for K of N, which may be shared with other files. Nil: one is made.
	Code *fec.Code
	// Old is the version that shares are to be changed from in place; nil: everything is new.
	Old *Old
}

// Old is what an update in place has to know of the version before: MDMF only.
type Old struct {
	// Head of all its shares. They must have equal ones.
	Head Head
	// Leaves are the hashes of its entries, by share number, then segment: Share.Leaves of all n shares.
	Leaves [][]caps.Hash
}

// Encoder makes one new version of a file: from the segments the entries of its n shares, and at the end the rest of
// each share.
//
// Encode may run for several segments at once, on as many cores as the caller likes, in any order. Memory is 32 bytes
// for each entry, and what the caller has not released. A file whose shares do not fit in memory is encoded twice:
// once for the hashes and, after Finish, once more as the entries are written; a segment comes out the same each time.
//
// With Old, segments that keep their plaintext need not be encoded unless MustEncode says so.
//
// It starts no goroutine. Leaving it unfinished costs nothing.
type Encoder struct {
	keys *Keys
	h    Header // without Root
	code *fec.Code
	old  *Old
	pool sync.Pool // of *Entries

	salts  [][SaltLen]byte // by segment, at least one
	leaves [][]caps.Hash   // by share, then segment; one row serves all shares of SDMF or MDMF if k = 1

	mu   sync.Mutex
	done []bool
}

// NewEncoder prepares to encode one version.
//
// Errors: ErrGeometry, also for an Old that cannot be updated in place: encode all of it then, without Old.
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	if cfg.K < 1 {
		return nil, fmt.Errorf("%w: k %d", ErrGeometry, cfg.K)
	}
	h := Header{Format: cfg.Format, Seq: cfg.Seq, K: cfg.K, N: cfg.N, Length: cfg.Length}
	if cfg.Length <= MaxSegment || cfg.Format == MDMF { // otherwise it is refused right below
		h.SegmentSize = SegmentSize(cfg.Format, cfg.Length, cfg.K)
	}
	if cfg.Old != nil {
		h.SegmentSize = cfg.Old.Head.SegmentSize
	}
	if err := h.Validate(); err != nil {
		return nil, err
	}
	code, err := codeFor(h, cfg.Code)
	if err != nil {
		return nil, err
	}
	e := &Encoder{
		keys: cfg.Keys, h: h, code: code, old: cfg.Old,
		salts: make([][SaltLen]byte, max(h.Segments(), 1)),
		done:  make([]bool, h.Segments()),
	}
	for i := range e.salts {
		if _, err := rand.Read(e.salts[i][:]); err != nil {
			return nil, fmt.Errorf("making a salt: %w", err)
		}
	}
	if h.Format == SDMF {
		e.h.IV = e.salts[0]
	}
	head, err := e.head(Header{})
	if err != nil {
		return nil, err
	}
	if err := e.checkOld(head); err != nil {
		return nil, err
	}
	e.leaves = make([][]caps.Hash, h.N)
	for i := range e.leaves {
		if i > 0 && e.oneRow() {
			e.leaves[i] = e.leaves[0]
		} else {
			e.leaves[i] = make([]caps.Hash, h.Segments())
		}
		if e.old != nil {
			copy(e.leaves[i], e.old.Leaves[i])
		}
	}
	return e, nil
}

// oneRow says whether all shares have the same entries.
func (e *Encoder) oneRow() bool { return e.h.K == 1 && e.old == nil }

// head lays out the version. Its own header is e.h, unless another is given that differs in the root alone.
func (e *Encoder) head(h Header) (Head, error) {
	if h == (Header{}) {
		h = e.h
	}
	s := e.keys.open()
	return newHead(h, len(s.publicDER), e.keys.signatureLen(), len(s.privateDER))
}

// checkOld says whether shares of the old version become shares of the new one by writing parts of them.
func (e *Encoder) checkOld(head Head) error {
	if e.old == nil {
		return nil
	}
	o := e.old.Head
	switch {
	case e.h.Format != MDMF || o.Format != MDMF || o.K != e.h.K || o.N != e.h.N:
		return fmt.Errorf("%w: update in place of another format or other share counts", ErrGeometry)
	case o.data.Offset != head.data.Offset:
		return fmt.Errorf("%w: update in place of shares with another layout", ErrGeometry)
	case len(e.old.Leaves) != o.N:
		return fmt.Errorf("%w: update in place with the hashes of %d shares of %d", ErrGeometry, len(e.old.Leaves), o.N)
	}
	for i, row := range e.old.Leaves {
		if len(row) != o.Segments() {
			return fmt.Errorf("%w: update in place with %d hashes of share %d", ErrGeometry, len(row), i)
		}
	}
	return nil
}

// Header is the version's, without its root: that is known after Finish. It gives the geometry.
func (e *Encoder) Header() Header { return e.h }

// MustEncode says whether segment seg has to be encoded even if its plaintext stays: without Old all have to, with Old
// those that it does not have in that length.
func (e *Encoder) MustEncode(seg int) bool {
	return e.old == nil || e.old.Head.SegmentLen(seg) != e.h.SegmentLen(seg)
}

// Entries are the n entries of one segment, in memory that the encoder lends out until Release.
type Entries struct {
	// Segment is the number of the segment they belong to.
	Segment int
	// Data is the entries by share number, all of one length. Where k = 1 they are one slice n times. Read only.
	Data [][]byte

	e   *Encoder
	buf []byte
}

// Release gives the memory back once the entries are sent. Call it once; they must not be touched afterwards.
func (b *Entries) Release() { b.e.pool.Put(b) }

// Encode encrypts segment seg, whose plaintext must have Header.SegmentLen(seg) bytes, and encodes it. It keeps
// nothing of plaintext. Safe for concurrent use, but not for one segment at once. The caller releases the result.
//
// Errors: ErrNoSegment, ErrPlaintextSize, ErrChanged if the segment was encoded before from other plaintext.
func (e *Encoder) Encode(seg int, plaintext []byte) (*Entries, error) {
	if len(plaintext) != e.h.SegmentLen(seg) {
		return nil, fmt.Errorf("%w: segment %d has %d bytes, not %d", ErrPlaintextSize, seg, e.h.SegmentLen(seg), len(plaintext))
	}
	b, err := e.begin(seg)
	if err != nil {
		return nil, err
	}
	lead, rest := e.h.saltLen(), plaintext
	for i := range e.h.K {
		n := copy(b.Data[i][lead:], rest)
		clear(b.Data[i][lead+n:])
		rest = rest[n:]
	}
	return e.encode(b)
}

// EncodeFrom is Encode for a plaintext that can be read at any offset: segment seg is read straight into the memory in
// which it is encrypted.
//
// Errors: ErrNoSegment, ErrPlaintextSize if src ends too early, ErrChanged, or what src returned.
func (e *Encoder) EncodeFrom(seg int, src io.ReaderAt) (*Entries, error) {
	b, err := e.begin(seg)
	if err != nil {
		return nil, err
	}
	lead, rest, at := e.h.saltLen(), e.h.SegmentLen(seg), int64(e.h.SegmentOffset(seg))
	for i := range e.h.K {
		piece := b.Data[i][lead:]
		want := min(len(piece), rest)
		clear(piece[want:])
		if want == 0 {
			continue
		}
		if n, err := src.ReadAt(piece[:want], at); n < want {
			b.Release()
			if err == io.EOF {
				err = ErrPlaintextSize
			}
			return nil, fmt.Errorf("reading segment %d: %w", seg, err)
		}
		rest -= want
		at += int64(want)
	}
	return e.encode(b)
}

// begin lends memory for a segment.
func (e *Encoder) begin(seg int) (*Entries, error) {
	size := e.h.EntryLen(seg)
	if size == 0 {
		return nil, fmt.Errorf("%w: segment %d of %d", ErrNoSegment, seg, e.h.Segments())
	}
	rows := e.h.N
	if e.h.K == 1 {
		rows = 1
	}
	b, ok := e.pool.Get().(*Entries)
	if !ok {
		b = &Entries{e: e, Data: make([][]byte, e.h.N), buf: make([]byte, rows*e.h.EntryLen(0))}
	}
	b.Segment = seg
	for i := range b.Data {
		at := i % rows * size
		b.Data[i] = b.buf[at : at+size : at+size]
	}
	return b, nil
}

// encode does the work of a segment, whose plaintext and padding are in place.
func (e *Encoder) encode(b *Entries) (*Entries, error) {
	seg, lead := b.Segment, e.h.saltLen()
	salt := e.salts[seg]
	stream := counter(e.keys.WriteKey().ReadKey().DataKey(salt).Bytes(), 0)
	rest := e.h.SegmentLen(seg)
	for i := range e.h.K {
		piece := b.Data[i][lead:]
		piece = piece[:min(len(piece), rest)] // the padding is not encrypted
		stream.XORKeyStream(piece, piece)
		rest -= len(piece)
	}
	blocks := make([][]byte, e.h.N)
	for i, entry := range b.Data {
		copy(entry[:lead], salt[:])
		blocks[i] = entry[lead:]
	}
	if e.h.K > 1 {
		if err := e.code.Encode(blocks); err != nil {
			b.Release()
			return nil, fmt.Errorf("encoding segment %d: %w", seg, err)
		}
	}
	if err := e.hash(b); err != nil {
		b.Release()
		return nil, err
	}
	return b, nil
}

// hash keeps the entries' hashes, or compares them with those of the first time.
func (e *Encoder) hash(b *Entries) error {
	leaves := make([]caps.Hash, len(b.Data))
	for i, entry := range b.Data {
		if i > 0 && e.h.K == 1 {
			leaves[i] = leaves[0]
		} else {
			leaves[i] = caps.BlockHash(entry)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	again := e.done[b.Segment]
	e.done[b.Segment] = true
	for i, leaf := range leaves {
		if again && e.leaves[i][b.Segment] != leaf {
			return fmt.Errorf("%w: segment %d", ErrChanged, b.Segment)
		}
		e.leaves[i][b.Segment] = leaf
	}
	return nil
}

// Finish computes the hash trees once all segments are encoded that have to be, and signs the version. It is called
// once, when no Encode is running any more.
//
// Errors: ErrUnfinished.
func (e *Encoder) Finish() (*Encoded, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for seg, done := range e.done {
		if !done && e.MustEncode(seg) {
			return nil, fmt.Errorf("%w: segment %d of %d", ErrUnfinished, seg, len(e.done))
		}
	}
	out := &Encoded{trees: make([]caps.Tree, e.h.N), publicKey: e.keys.PublicDER(), sealed: e.keys.Sealed()}
	roots := make([]caps.Hash, e.h.N)
	for i := range out.trees {
		if i > 0 && e.oneRow() {
			out.trees[i] = out.trees[0]
		} else {
			out.trees[i] = caps.NewTree(e.leaves[i])
		}
		roots[i] = out.trees[i].Root()
	}
	out.shares = caps.NewTree(roots)
	h := e.h
	h.Root = out.shares.Root()
	var err error
	if out.signature, err = e.keys.Sign(h); err != nil {
		return nil, err
	}
	out.head, err = e.head(h)
	return out, err
}
