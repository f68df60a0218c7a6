package ssk

import (
	"fmt"
	"slices"
	"sync"

	"trunkline/caps"
)

// Proof is what ties an entry to the header, as far as the receiver does not know it already.
type Proof struct {
	// Nodes are nodes of the share's block hash tree.
	Nodes []caps.Node
	// First says that this is the first entry of the share: then Root is the root of its block hash tree, and Chain
	// its share hash chain. Both are zero otherwise.
	First bool
	Root  caps.Hash
	Chain []caps.Node
}

// Prover gives the entries of verified shares the proofs that a Receiver needs who gets them in the same order. Its
// memory grows with the nodes given. One goroutine at a time.
//
// Source: tahoe-formats 6.10, the second way.
type Prover struct {
	shares map[int]map[int]struct{} // by share number, then node number: what the receiver has
}

// NewProver is a prover whose receiver knows nothing yet.
func NewProver() *Prover { return &Prover{shares: make(map[int]map[int]struct{})} }

// Block is s's entry of segment seg with its proof. s.Check has accepted it. entry is kept, not copied.
//
// Errors: ErrBlock if s does not know the segment's leaf.
func (p *Prover) Block(s *Share, seg int, entry []byte) (Block, error) {
	chain, err := s.proof(seg)
	if err != nil {
		return Block{}, fmt.Errorf("%w: segment %d of share %d: %w", ErrBlock, seg, s.num, err)
	}
	b := Block{Num: s.num, Entry: entry}
	known, ok := p.shares[s.num]
	if !ok {
		known = make(map[int]struct{})
		p.shares[s.num] = known
		b.First, b.Root, b.Chain = true, s.root, slices.Clone(s.chain)
	}
	// The receiver's tree is closed: from the first sibling that is known it knows all above.
	own := caps.TreeWidth(s.h.Segments()) - 1 + seg
	for _, n := range chain {
		if _, ok := known[n.Number]; ok {
			break
		}
		known[n.Number], known[own] = struct{}{}, struct{}{}
		b.Nodes = append(b.Nodes, n)
		own = (own - 1) / 2
	}
	return b, nil
}

// Receiver checks entries that come from somebody who is not trusted, for a version whose signature was verified.
// Its memory grows with the nodes seen: at most 64 bytes an entry, and a kilobyte a share. Safe for concurrent use,
// but each share's proofs come in the order in which the Prover gave them.
type Receiver struct {
	h Header

	mu     sync.Mutex
	shares map[int]*Share
}

// NewReceiver starts with a version whose signature was verified.
func NewReceiver(h Header) *Receiver { return &Receiver{h: h, shares: make(map[int]*Share)} }

// Check accepts the blocks of segment seg, all or none of them usable: those before a bad one are remembered. At least
// k of different shares must be there.
//
// Errors: ErrTooFew, ErrShareChain, ErrBlock, ErrNoSegment.
func (r *Receiver) Check(seg int, blocks []Block) error {
	if len(blocks) < r.h.K {
		return fmt.Errorf("%w: %d of the %d needed", ErrTooFew, len(blocks), r.h.K)
	}
	for _, b := range blocks {
		s, err := r.share(b)
		if err != nil {
			return err
		}
		if err := s.Check(seg, b.Entry, b.Nodes); err != nil {
			return err
		}
	}
	return nil
}

func (r *Receiver) share(b Block) (*Share, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.shares[b.Num]; ok {
		return s, nil
	}
	if !b.First {
		return nil, fmt.Errorf("%w: share %d begins without it", ErrShareChain, b.Num)
	}
	s, err := NewShare(r.h, b.Num, b.Root, b.Chain)
	if err != nil {
		return nil, err
	}
	r.shares[b.Num] = s
	return s, nil
}

// Share is the state of one share, to prove its entries onward with a Prover; nil if none of its entries came yet.
func (r *Receiver) Share(num int) *Share {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shares[num]
}
