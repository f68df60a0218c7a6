package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/storage"
)

const (
	// wholeShare is the size up to which a share is read at once and kept:
	// small files then take one round trip after the question who has them.
	wholeShare = 64 << 10
	// tailSlack is what a share has at least beyond its blocks and trees, and
	// usually not twice over: share hash chain, UEB, header.
	tailSlack = 1024
)

// standing is how much is known of a source.
type standing uint8

const (
	listed standing = iota
	probing
	probingLate // no longer waited for
	ready       // proven to belong to the cap
	failed      // could not be read; may be tried again
	bad         // proven to be wrong, for good
)

// source is one share on one server. The File's lock guards standing; the
// rest is written before it becomes ready and not changed afterwards.
type source struct {
	peer     *peer
	num      int
	size     uint64
	standing standing

	whole  []byte // the share, if it is small
	layout chk.Layout
	tree   remoteTree // block hash tree
	blocks *windows   // of tree
}

// proof is what a probe found out beyond its own source.
type proof struct {
	ueb       *chk.UEB
	crypttext *window // window 0 of the ciphertext tree, if it was among what was read
	liar      error   // the share is good but its ciphertext tree is not
}

// read reads ranges of the share into dst, from memory if it is held whole,
// and notes how the server did.
func (f *File) read(ctx context.Context, s *source, ranges []storage.Range, dst [][]byte) error {
	if s.whole != nil {
		for i, r := range ranges {
			if r.Offset > s.size || r.Length > s.size-r.Offset {
				return fmt.Errorf("%w: it ends too early", ErrCorrupt)
			}
			copy(dst[i], s.whole[r.Offset:])
		}
		return nil
	}
	total := int64(0)
	for _, r := range ranges {
		total += int64(r.Length)
	}
	f.mu.Lock()
	s.peer.inFlight += total
	f.mu.Unlock()
	start := f.cfg.Now()

	limited, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	err := s.peer.server.Read(limited, f.si, s.num, ranges, dst)
	timedOut := errors.Is(limited.Err(), context.DeadlineExceeded)
	cancel()

	now := f.cfg.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.peer.inFlight -= total
	switch {
	case err == nil:
		s.peer.delivered(start, now, total)
	case errors.Is(err, storage.ErrRange):
		// The share is shorter than the same server said it is.
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case ctx.Err() != nil:
		s.peer.gaveUp(start, now, total)
		return ctx.Err()
	case timedOut:
		s.peer.gaveUp(start, now, total)
		s.peer.tired(now)
		return errSilent
	default:
		s.peer.tired(now)
	}
	return err
}

// tailLen is how much of the end of a share of size bytes to read at first: as
// much as holds the leaves of the ciphertext tree, the block tree and what
// follows, if they are worth reading at once. What a share has beyond its
// blocks is three trees of one size and a little more, and of the first one
// and a half nothing is needed.
func tailLen(v caps.CHKVerify, size uint64) uint64 {
	blocks := (v.Size-1)/uint64(v.K) + 1
	trees := size - blocks // more than 192 bytes a leaf
	if trees > 2*192*uint64(windowSpan(v.K)) {
		return min(chk.TailMax, size)
	}
	return min(trees/2+tailSlack, size)
}

// examine reads header and end of a share and proves that it belongs to the
// cap. On success it fills s. Errors that match ErrCorrupt are the server's
// lies, ErrInconsistent is the uploader's, others a failure to answer.
func (f *File) examine(ctx context.Context, s *source, known *chk.UEB) (proof, error) {
	var head, tail []byte
	tailAt := uint64(0)
	if s.size <= wholeShare {
		data := make([]byte, s.size)
		if err := f.read(ctx, s, []storage.Range{{Offset: 0, Length: s.size}}, [][]byte{data}); err != nil {
			return proof{}, err
		}
		head, tail = data, data
		s.whole = data
	} else {
		n := tailLen(f.v, s.size)
		head, tail, tailAt = make([]byte, chk.HeaderMax), make([]byte, n), s.size-n
		err := f.read(ctx, s,
			[]storage.Range{{Offset: 0, Length: chk.HeaderMax}, {Offset: tailAt, Length: n}},
			[][]byte{head, tail})
		if err != nil {
			return proof{}, err
		}
	}
	layout, err := chk.ParseLayout(head, s.size)
	if err != nil {
		return proof{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if layout.ShareChain < tailAt {
		// Something long stands after the UEB. Tahoe would read it.
		tailAt = layout.ShareChain
		tail = make([]byte, min(chk.TailMax, s.size-tailAt))
		if err := f.read(ctx, s, []storage.Range{{Offset: tailAt, Length: uint64(len(tail))}}, [][]byte{tail}); err != nil {
			return proof{}, err
		}
	}
	chain, raw, err := layout.SplitTail(tail[layout.ShareChain-tailAt:])
	if err != nil {
		return proof{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var p proof
	if known != nil && bytes.Equal(known.Raw, raw) {
		p.ueb = known
	} else if p.ueb, err = chk.ParseUEB(raw, f.v); errors.Is(err, chk.ErrUEBHash) {
		return proof{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	} else if err != nil {
		return proof{}, fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	g := p.ueb.Geometry
	if err := layout.Fit(g); err != nil {
		return proof{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if _, err := chk.NewShare(p.ueb, s.num, chain); err != nil {
		return proof{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	s.layout = layout
	s.tree = newRemoteTree(layout.BlockTree, g.Segments, g.K, ownRoot(chain, g.N, s.num))
	s.blocks = new(windows)

	// Trees that fit one window are usually in what was read.
	if data, ok := within(s.tree, tail, tailAt); ok {
		win, err := s.tree.prove(0, data)
		if err != nil {
			return proof{}, err
		}
		s.blocks.put(0, win)
	}
	crypttext := newRemoteTree(layout.CrypttextTree, g.Segments, g.K, p.ueb.CrypttextRoot)
	if data, ok := within(crypttext, tail, tailAt); ok {
		p.crypttext, p.liar = crypttext.prove(0, data)
	}
	return p, nil
}

// ownRoot finds a share's own leaf, the root of its block tree, in a share hash
// chain that was verified.
func ownRoot(chain []byte, n, num int) caps.Hash {
	const entry = 2 + 32
	own := caps.TreeWidth(n) - 1 + num
	for ; len(chain) >= entry; chain = chain[entry:] {
		if int(binary.BigEndian.Uint16(chain)) == own {
			return caps.Hash(chain[2:entry])
		}
	}
	return caps.Hash{}
}

// within takes the ranges of a one-window tree out of bytes of the share that
// start at offset at.
func within(t remoteTree, have []byte, at uint64) ([][]byte, bool) {
	if t.span != t.width {
		return nil, false
	}
	r := t.ranges(0)[0]
	if r.Offset < at || r.Offset+r.Length > at+uint64(len(have)) {
		return nil, false
	}
	return [][]byte{have[r.Offset-at : r.Offset-at+r.Length]}, true
}

// window reads window w of tree t out of a share.
func (f *File) window(ctx context.Context, s *source, t remoteTree, w int) (*window, error) {
	ranges := t.ranges(w)
	data := make([][]byte, len(ranges))
	for i, r := range ranges {
		data[i] = make([]byte, r.Length)
	}
	if err := f.read(ctx, s, ranges, data); err != nil {
		return nil, err
	}
	return t.prove(w, data)
}

// blockLeaves is the proven window of a share's block tree that holds segment
// seg.
func (f *File) blockLeaves(ctx context.Context, s *source, seg int) (*window, error) {
	w := seg / s.tree.span
	return s.blocks.get(ctx, w, func() (*window, error) { return f.window(ctx, s, s.tree, w) })
}

// crypttextLeaves is the proven window of the ciphertext tree that holds
// segment seg, from whichever share gives it first.
func (f *File) crypttextLeaves(ctx context.Context, seg int) (*window, error) {
	w := seg / f.crypttext.span
	return f.crypttextWindows.get(ctx, w, func() (*window, error) { return f.raceCrypttext(ctx, w) })
}

// raceCrypttext asks one share after another for a window of the ciphertext
// tree; each has its server's patience until the next is asked as well.
func (f *File) raceCrypttext(ctx context.Context, w int) (*window, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		s   *source
		win *window
		err error
	}
	answers := make(chan answer)
	tried := make(map[*source]bool)
	timer := time.NewTimer(0)
	defer timer.Stop()
	waiting := 0
	defer func() {
		for ; waiting > 0; waiting-- {
			<-answers
		}
	}()
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case a := <-answers:
			waiting--
			if a.err == nil {
				cancel()
				return a.win, nil
			}
			if isLie(a.err) {
				f.accuse(a.s, a.err) // its blocks may be good all the same
			} else {
				f.blame(a.s, a.err)
			}
			timer.Reset(0)
		case <-changed:
			timer.Reset(0)
		case <-timer.C:
			s := f.choose(tried, nil, 1)
			if s == nil {
				if !f.need() && waiting == 0 {
					return nil, f.tooFew(0)
				}
				continue
			}
			tried[s] = true
			waiting++
			t := f.crypttext
			t.offset = s.layout.CrypttextTree
			go func() {
				win, err := f.window(ctx, s, t, w)
				answers <- answer{s, win, err}
			}()
			f.mu.Lock()
			timer.Reset(s.peer.patience(32 * int64(t.span)))
			f.mu.Unlock()
		}
	}
}
