package longdistance

import (
	"context"
	"errors"
	"fmt"

	"trunkline/caps"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/ssk"
	"trunkline/p2p"
)

// Version is one version of a mutable file, opened for reading its ciphertext: it
// does not change however often the file does.
//
// Header is signed with the key that the cap names; the caller must not change
// PublicKey and Signature. ReadBlocks calls fn with the segments first,
// first+1, … in order, and returns fn's error as it is. What fn gets is valid
// until it returns. ReadBlocks and Close are called by one goroutine at a time
// unless the implementation says more. Close returns when everything the version
// started has ended.
type Version interface {
	Header() ssk.Header
	PublicKey() []byte
	Signature() []byte
	ReadBlocks(ctx context.Context, first, count int, fn func(Blocks) error) error
	Close() error
}

// Blocks is one segment of a version: verified entries of as many different
// shares as are needed, and the shares, which prove them.
type Blocks struct {
	Index   int
	Shares  []*ssk.Share
	Entries [][]byte // of the shares, in the same order
}

// MutableSource is a [Source] that has mutable files too. Open is for immutable
// ones alone.
//
// OpenMutable returns the newest version that it finds, whatever r.Mutable says
// of versions. Its errors carry a kind, as Open's do. Safe for concurrent use.
type MutableSource interface {
	Source
	OpenMutable(ctx context.Context, r Request) (Version, error)
}

// Wish is the part of a [Request] for a mutable file.
type Wish struct {
	// Cap is what the version is verified against.
	Cap caps.MutableVerify
	// Version is the one that is wanted and no other; zero: the newest.
	Version ssk.Header
	// LeastSeq: versions with a lower sequence number are of no use, because
	// the asker has seen that one.
	LeastSeq uint64
}

// Errors about versions.
var (
	// ErrOlder says that a payee has an older version than the asker has seen.
	ErrOlder = fmt.Errorf("an older version than was seen before: %w", p2p.ErrIntegrity)
	// ErrChanged says that a payee has another version than the one that was
	// begun with.
	ErrChanged = fmt.Errorf("the file changed meanwhile: %w", p2p.ErrConflict)
)

// fits says whether a version is one that was asked for. The error matches
// ErrOlder or ErrChanged.
func (w *Wish) fits(h ssk.Header) error {
	if w.Version != (ssk.Header{}) && h != w.Version {
		return fmt.Errorf("version %d is there, version %d was begun with: %w", h.Seq, w.Version.Seq, ErrChanged)
	}
	if h.Seq < w.LeastSeq {
		return fmt.Errorf("version %d is there, version %d was: %w", h.Seq, w.LeastSeq, ErrOlder)
	}
	return nil
}

// changing is one version of a mutable file.
type changing struct {
	ssk.Header
	publicKey, signature []byte
}

// openChanging checks what a payee shows against the cap.
func openChanging(b *pb.Begin, v caps.MutableVerify) (changing, error) {
	h, err := ssk.ParseHeader(b.GetVersion())
	if err != nil {
		return changing{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if len(b.GetVersion()) != len(h.Prefix()) || len(b.GetPublicKey()) > ssk.MaxPublicKey || len(b.GetSignature()) > ssk.MaxSignature {
		return changing{}, fmt.Errorf("a version of %d bytes, a key of %d and a signature of %d: %w",
			len(b.GetVersion()), len(b.GetPublicKey()), len(b.GetSignature()), p2p.ErrMalformed)
	}
	if err := ssk.VerifySignature(v, h, b.GetPublicKey(), b.GetSignature()); err != nil {
		return changing{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return changing{h, b.GetPublicKey(), b.GetSignature()}, nil
}

func (c changing) segments() int                                  { return c.Segments() }
func (c changing) cover(offset, length uint64) (first, count int) { return c.Cover(offset, length) }
func (c changing) billed(i int) int                               { return c.PaddedLen(i) }
func (c changing) largest() int64                                 { return int64(c.PaddedLen(0)) }
func (c changing) checker(first int) checker                      { return &blockChecker{h: c.Header, first: first} }

func (c changing) span(first, count int) (offset, length uint64) {
	offset = c.SegmentOffset(first)
	if count == 0 {
		return offset, 0
	}
	return offset, min(c.SegmentOffset(first+count), c.Length) - offset
}

// Both sides of a request forget what the payer knows of the hash trees after so
// many segments, so that memory does not grow with the file.
const forgetEvery = 4096

// blockChecker checks the segments of one request for a version. It is a
// checker.
type blockChecker struct {
	h        ssk.Header
	first    int // where the request began
	receiver *ssk.Receiver
}

// shares says which shares a message announces. Its errors match
// p2p.ErrMalformed.
func (c *blockChecker) shares(m *pb.Blocks) ([]byte, error) {
	nums := m.GetShares()
	if len(nums) != c.h.K {
		return nil, fmt.Errorf("%d shares where %d are needed: %w", len(nums), c.h.K, p2p.ErrMalformed)
	}
	for i, num := range nums {
		if int(num) >= c.h.N || i > 0 && num <= nums[i-1] {
			return nil, fmt.Errorf("shares %v of %d: %w", nums, c.h.N, p2p.ErrMalformed)
		}
	}
	return nums, nil
}

// hashes is how many of them prove share num's entry of segment i.
func (c *blockChecker) hashes(num, i int) int {
	if s := c.receiver.Share(num); s != nil {
		return len(s.Missing(i))
	}
	return 1 + depthOf(c.h.N) + depthOf(c.h.Segments()) // the first is the root of the share's own tree
}

func (c *blockChecker) expect(i int, m *pb.FromPayee) (int, error) {
	b := m.GetBlocks()
	if b == nil || b.GetIndex() != uint64(i) || uint64(b.GetLength()) != uint64(c.h.PaddedLen(i)) { //nolint:gosec // neither is negative
		return 0, fmt.Errorf("segment %d was due: %w", i, ErrOrder)
	}
	nums, err := c.shares(b)
	if err != nil {
		return 0, err
	}
	if (i-c.first)%forgetEvery == 0 {
		c.receiver = ssk.NewReceiver(c.h)
	}
	n := 0
	for _, num := range nums {
		n += c.hashes(int(num), i)*hashLen + c.h.EntryLen(i)
	}
	if uint64(b.GetLength())+uint64(b.GetProof()) != uint64(n) { //nolint:gosec // never negative
		return 0, fmt.Errorf("segment %d comes with %d bytes of proof, not %d: %w", i, b.GetProof(), n-c.h.PaddedLen(i), p2p.ErrMalformed)
	}
	return n, nil
}

const hashLen = len(caps.Hash{})

func (c *blockChecker) check(i int, m *pb.FromPayee, data []byte) (piece, error) {
	nums := m.GetBlocks().GetShares()
	blocks := make([]ssk.Block, len(nums))
	for j, num := range nums {
		blocks[j], data = c.parse(int(num), i, data)
	}
	if err := c.receiver.Check(i, blocks); err != nil {
		return piece{}, fmt.Errorf("segment %d: %w: %w", i, ErrProof, err)
	}
	out := Blocks{Index: i, Shares: make([]*ssk.Share, len(nums)), Entries: make([][]byte, len(nums))}
	for j, b := range blocks {
		out.Shares[j], out.Entries[j] = c.receiver.Share(b.Num), b.Entry
	}
	return piece{blocks: out}, nil
}

// parse takes one share's block off data, which expect has found to be long
// enough.
func (c *blockChecker) parse(num, i int, data []byte) (b ssk.Block, rest []byte) {
	take := func(n int) []byte {
		head := data[:n:n]
		data = data[n:]
		return head
	}
	node := func(number int) caps.Node { return caps.Node{Number: number, Hash: caps.Hash(take(hashLen))} }
	b.Num = num
	if s := c.receiver.Share(num); s != nil {
		for _, number := range s.Missing(i) {
			b.Nodes = append(b.Nodes, node(number))
		}
	} else {
		b.First, b.Root = true, caps.Hash(take(hashLen))
		b.Chain = siblings(num, c.h.N, node)
		b.Nodes = siblings(i, c.h.Segments(), node)
	}
	b.Entry = take(c.h.EntryLen(i))
	return b, data
}

// siblings are those of the way from a leaf to the root, bottom up.
func siblings(leaf, leaves int, node func(number int) caps.Node) []caps.Node {
	depth := depthOf(leaves)
	nodes := make([]caps.Node, depth)
	for h := range nodes {
		nodes[h] = node(siblingAt(leaf, h, depth))
	}
	return nodes
}

// servedVersion is a version at a payee.
type servedVersion struct {
	changing
	v Version
}

func serveVersion(v Version) servedVersion {
	return servedVersion{changing{v.Header(), v.PublicKey(), v.Signature()}, v}
}

func (f servedVersion) Close() error { return f.v.Close() }

func (f servedVersion) begin(first, count int) *pb.Begin {
	return &pb.Begin{
		First: uint64(first), Count: uint64(count), //nolint:gosec // neither is negative
		Version: f.Prefix(), PublicKey: f.publicKey, Signature: f.signature,
	}
}

func (f servedVersion) read(ctx context.Context, first, count int, fn func(i int, m *pb.FromPayee, data []byte) error) error {
	var prover *ssk.Prover
	var data []byte
	message := &pb.Blocks{}
	frame := &pb.FromPayee{Message: &pb.FromPayee_Blocks{Blocks: message}}
	return f.v.ReadBlocks(ctx, first, count, func(b Blocks) error {
		if (b.Index-first)%forgetEvery == 0 {
			prover = ssk.NewProver()
		}
		message.Index = uint64(b.Index) //nolint:gosec // never negative
		message.Shares = message.Shares[:0]
		data = data[:0]
		for _, j := range b.order() {
			block, err := prover.Block(b.Shares[j], b.Index, b.Entries[j])
			if err == nil {
				data, err = f.appendBlock(data, block)
			}
			if err != nil {
				return fmt.Errorf("segment %d came without its proof: %w: %w", b.Index, p2p.ErrInternal, err)
			}
			message.Shares = append(message.Shares, byte(block.Num)) //nolint:gosec // below ssk.MaxShares
		}
		if len(message.Shares) != f.K {
			return fmt.Errorf("segment %d came in %d blocks, not %d: %w", b.Index, len(message.Shares), f.K, p2p.ErrInternal)
		}
		paid := f.PaddedLen(b.Index)
		message.Length, message.Proof = uint32(paid), uint32(len(data)-paid) //nolint:gosec // at most maxSegment, and some hashes
		return fn(b.Index, frame, data)
	})
}

var errNoChain = errors.New("a share without its hash chain")

// appendBlock is what blockChecker.parse reads.
func (f servedVersion) appendBlock(data []byte, b ssk.Block) ([]byte, error) {
	if b.First {
		chain := freshChain(b.Chain, b.Num, b.Num, f.N)
		if chain == nil {
			return nil, errNoChain
		}
		data = append(append(data, b.Root[:]...), chain...)
	}
	for _, n := range b.Nodes {
		data = append(data, n.Hash[:]...)
	}
	return append(data, b.Entry...), nil
}

// order is the indices of the shares in ascending order of their numbers.
func (b Blocks) order() []int {
	order := make([]int, len(b.Shares))
	for i := range order {
		order[i] = i
		for j := i; j > 0 && b.Shares[order[j]].Num() < b.Shares[order[j-1]].Num(); j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	return order
}

// RemoteVersion is a version of a mutable file that a payee serves. It is a
// [Version]: one goroutine at a time reads and closes it. When a payee fails in
// the middle, the next one of the route that has the same version goes on.
type RemoteVersion struct{ *call }

var _ Version = (*RemoteVersion)(nil)

// OpenMutable asks the payees of the route, in turn, for a range of a mutable
// file. It returns when one has shown a version, which is verified and one that
// r.Mutable allows; that payee then begins to send what r asks for, and
// ReadBlocks takes it.
//
// Errors: *[FailedError] with what each payee said; of ctx.
func (p *Payer) OpenMutable(ctx context.Context, route Route, r Request) (*RemoteVersion, error) {
	if r.Mutable == nil {
		return nil, fmt.Errorf("no mutable file is named: %w", p2p.ErrMalformed)
	}
	c, err := p.call(ctx, route, r)
	if err != nil {
		return nil, err
	}
	wish := *r.Mutable
	wish.Version = c.about.(changing).Header // whoever goes on has to have this one
	c.req.Mutable = &wish
	return &RemoteVersion{c}, nil
}

func (f *RemoteVersion) changing() changing { return f.about.(changing) }

// Header names the version.
func (f *RemoteVersion) Header() ssk.Header { return f.changing().Header }

// PublicKey is the file's. The caller must not change it.
func (f *RemoteVersion) PublicKey() []byte { return f.changing().publicKey }

// Signature is over the header. The caller must not change it.
func (f *RemoteVersion) Signature() []byte { return f.changing().signature }

// ReadBlocks calls fn with count segments from first on. It goes on at other
// payees when one fails; what is verified is signed for as it comes.
//
// Errors: fn's as it is; *[FailedError] when no payee is left that has the
// version, which matches [ErrChanged] if one has another; of ctx.
func (f *RemoteVersion) ReadBlocks(ctx context.Context, first, count int, fn func(Blocks) error) error {
	return f.read(ctx, first, count, func(p piece) error { return fn(p.blocks) })
}
