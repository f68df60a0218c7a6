package mutable

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
)

// maxRead bounds what one request asks for, in bytes: storage.MaxSlotReadBytes with room to spare.
const maxRead = 32 << 20

// errOverwritten is why a share cannot be read any more that another version has replaced.
var errOverwritten = errors.New("the share was overwritten meanwhile")

// source is one share on one server. What it says of itself was verified unless it is bad.
type source struct {
	peer *peer
	num  int
	raw  []byte // the share's first bytes, surveyBytes or all of it
	head ssk.Head

	// The survey's lock guards these.
	bad    error      // why it is corrupt
	failed bool       // it could not be read, and may be later
	share  *ssk.Share // nil until its hash chain was verified
}

// newSource examines a share's first bytes. The result is bad if they are not of the cap's file.
func (s *survey) newSource(p *peer, num int, raw []byte) *source {
	src := &source{peer: p, num: num, raw: raw}
	if err := s.examine(src); err != nil {
		if errors.Is(err, ssk.ErrCorrupt) {
			s.accuse(src, err)
		} else {
			src.failed = true
		}
	}
	return src
}

// examine verifies a share's signature, and with SDMF that it is of the number that the server says.
func (s *survey) examine(src *source) error {
	head, err := ssk.ParseHead(src.raw)
	if err != nil {
		return err
	}
	if head.Format != ssk.FormatOf(s.v) {
		return ssk.ErrFormat
	}
	if src.num < 0 || src.num >= head.N {
		return fmt.Errorf("%w: share %d of %d", ssk.ErrLayout, src.num, head.N)
	}
	src.head = head
	parts, err := s.fetch(s.ctx, src, head.PublicKey(), head.Signature())
	if err != nil {
		return err
	}
	if err := s.verify(head.Header, parts[0], parts[1]); err != nil {
		return err
	}
	if head.Format == ssk.SDMF {
		return s.prove(s.ctx, src)
	}
	return nil
}

// verify is VerifySignature that remembers what it has verified.
func (s *survey) verify(h ssk.Header, publicKey, signature []byte) error {
	known := func(p *signed) bool {
		return p.header == h && bytes.Equal(p.signature, signature) && bytes.Equal(p.publicKey, publicKey)
	}
	s.mu.Lock()
	for _, p := range s.proofs {
		if known(p) {
			s.mu.Unlock()
			return nil
		}
	}
	s.mu.Unlock()
	if err := ssk.VerifySignature(s.v, h, publicKey, signature); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs = append(s.proofs, &signed{h, bytes.Clone(publicKey), bytes.Clone(signature)})
	return nil
}

// prove verifies a share's hash chain.
func (s *survey) prove(ctx context.Context, src *source) error {
	parts, err := s.fetch(ctx, src, src.head.ShareChain(), src.head.BlockTreeNode(0))
	if err != nil {
		return err
	}
	return s.adopt(src, parts[0], parts[1])
}

// adopt takes what was read of a share's hash chain and of its block tree's root.
func (s *survey) adopt(src *source, chain, root []byte) error {
	nodes, err := ssk.ParseChain(chain)
	if err != nil {
		return err
	}
	if len(root) != len(caps.Hash{}) {
		return ssk.ErrLayout
	}
	share, err := ssk.NewShare(src.head.Header, src.num, caps.Hash(root), nodes)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if src.share == nil {
		src.share = share
	}
	return nil
}

// fetch reads sections of a share, in one request unless they are large; none if the first bytes have them all. Each has the
// length that was asked for.
//
// Errors: ssk.ErrLayout if the share is too short, errOverwritten, or what the server said.
func (s *survey) fetch(ctx context.Context, src *source, sections ...ssk.Section) ([][]byte, error) {
	parts := make([][]byte, len(sections))
	// The beginning is read along, to tell a share that was overwritten from one that is corrupt.
	head := uint64(min(len(src.raw), ssk.HeadMax))
	ranges := []storage.Range{{Length: head}}
	which := []int{-1}
	for i, sec := range sections {
		if end := sec.Offset + sec.Length; end >= sec.Offset && end <= uint64(len(src.raw)) {
			parts[i] = src.raw[sec.Offset:end]
			continue
		}
		for done := uint64(0); done < sec.Length; done += maxRead {
			ranges = append(ranges, storage.Range{Offset: sec.Offset + done, Length: min(maxRead, sec.Length-done)})
			which = append(which, i)
		}
	}
	if len(ranges) == 1 {
		return parts, nil
	}
	for len(ranges) > 0 {
		n, total := 1, ranges[0].Length
		for n < len(ranges) && n < storage.MaxRanges && total+ranges[n].Length <= maxRead {
			total += ranges[n].Length
			n++
		}
		data, err := s.read(ctx, src.peer, []int{src.num}, ranges[:n])
		if err != nil {
			return nil, err
		}
		got, ok := data[src.num]
		if !ok {
			return nil, fmt.Errorf("share %d: %w", src.num, storage.ErrNotFound)
		}
		if len(got) != n {
			return nil, ssk.ErrLayout
		}
		for i, part := range got {
			if which[i] < 0 {
				if !bytes.Equal(part, src.raw[:head]) {
					return nil, overwritten(part)
				}
				continue
			}
			if uint64(len(part)) != ranges[i].Length {
				return nil, fmt.Errorf("%w: the share ends early", ssk.ErrLayout)
			}
			if w := which[i]; parts[w] == nil && ranges[i].Length == sections[w].Length {
				parts[w] = part
			} else {
				parts[w] = append(parts[w], part...)
			}
		}
		ranges, which = ranges[n:], which[n:]
	}
	return parts, nil
}

// overwritten is what a share is that begins otherwise than before: it may have been replaced, but not by nonsense.
func overwritten(begin []byte) error {
	if _, err := ssk.ParseHead(begin); err != nil && len(begin) > 0 {
		return err
	}
	return errOverwritten
}
