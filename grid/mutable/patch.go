package mutable

import (
	"bytes"
	"context"
	"io"
	"sync"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

// patch plans to write size bytes of src at offset: in place if it is an MDMF file of which every share is there and good, else
// by writing all of it anew.
func (o *operation) patch(ctx context.Context, w *view, src io.ReaderAt, offset, size uint64) (change, func(), error) {
	h := w.base.header
	if offset+size < offset || offset+size > 1<<62 {
		return change{}, nil, ErrTooLarge
	}
	length := max(h.Length, offset+size)
	if size == 0 {
		length = h.Length
	}
	v := w.s.version(h)
	if h.Format == ssk.MDMF && h.Length > 0 {
		old, err := o.trees(ctx, w)
		if err != nil {
			return change{}, nil, err
		}
		if old != nil {
			over := &overlay{
				ctx: ctx, v: v, key: o.write.ReadKey(), old: h.Length,
				src: src, offset: offset, size: size, parts: make(map[uint64][]byte),
			}
			first := int(offset / h.SegmentSize)
			last := int((offset + max(size, 1) - 1) / h.SegmentSize)
			return change{src: over, size: length, old: old, span: span{first, last - first + 1}}, nil, nil
		}
	}
	if length > uint64(o.f.cfg.Memory) {
		return change{}, nil, ErrTooLarge
	}
	contents, _, err := o.contents(ctx, w)
	if err != nil {
		return change{}, nil, err
	}
	contents = append(contents, make([]byte, length-uint64(len(contents)))...)
	if n, err := src.ReadAt(contents[offset:offset+size], 0); uint64(n) < size {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return change{}, nil, err
	}
	return change{src: bytes.NewReader(contents), size: length}, nil, nil
}

// trees reads the block hash trees of all shares, which an update in place needs. It is nil if there is a share that is missing,
// of another version, or laid out in another way: then all shares have to be written anew.
func (o *operation) trees(ctx context.Context, w *view) (*ssk.Old, error) {
	h := w.base.header
	if len(w.base.shares) < h.N {
		return nil, nil
	}
	head := w.base.shares[0][0].head
	for _, p := range w.p.answered {
		for _, src := range p.sources {
			if src.bad != nil || src.failed || src.head != head {
				return nil, nil
			}
		}
	}
	old := &ssk.Old{Head: head, Leaves: make([][]caps.Hash, h.N)}
	var wg sync.WaitGroup
	for num := range h.N {
		wg.Go(func() {
			for _, src := range w.base.shares[num] {
				leaves, err := w.s.leaves(ctx, src)
				if err == nil {
					old.Leaves[num] = leaves
					return
				}
				if ctx.Err() == nil {
					w.s.reject(src, err)
				}
			}
		})
	}
	wg.Wait()
	for _, leaves := range old.Leaves {
		if leaves == nil {
			return nil, ctx.Err()
		}
	}
	return old, nil
}

// leaves reads a share's whole block hash tree.
func (s *survey) leaves(ctx context.Context, src *source) ([]caps.Hash, error) {
	parts, err := s.fetch(ctx, src, src.head.ShareChain(), src.head.BlockTree())
	if err != nil {
		return nil, err
	}
	if len(parts[1]) < len(caps.Hash{}) {
		return nil, ssk.ErrLayout
	}
	if err := s.adopt(src, parts[0], parts[1][:len(caps.Hash{})]); err != nil {
		return nil, err
	}
	s.mu.Lock()
	share := src.share
	s.mu.Unlock()
	if err := share.Learn(ssk.Nodes(0, parts[1])); err != nil {
		return nil, err
	}
	leaves, ok := share.Leaves()
	if !ok {
		return nil, ssk.ErrBlock
	}
	return leaves, nil
}

// overlay is a file's contents after a write: what was there, read when it is needed and kept, and on top what is written.
type overlay struct {
	ctx          context.Context // of the operation whose source this is
	v            *Version
	key          caps.MutableReadKey
	old          uint64 // length before
	src          io.ReaderAt
	offset, size uint64

	mu    sync.Mutex
	parts map[uint64][]byte // what was read of the old contents, by offset
}

// ReadAt reads the contents after the write.
func (l *overlay) ReadAt(p []byte, at int64) (int, error) {
	off, end := uint64(at), uint64(at)+uint64(len(p))
	if before := min(end, l.offset); off < before {
		if err := l.before(p[:before-off], off); err != nil {
			return 0, err
		}
	}
	from, to := max(off, l.offset), min(end, l.offset+l.size)
	if from < to {
		n, err := l.src.ReadAt(p[from-off:to-off], int64(from-l.offset))
		if uint64(n) < to-from {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	if after := max(off, l.offset+l.size); after < end {
		if err := l.before(p[after-off:], after); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// before reads what stood at off; zeros beyond the end.
func (l *overlay) before(p []byte, off uint64) error {
	clear(p)
	if off >= l.old {
		return nil
	}
	n := min(uint64(len(p)), l.old-off)
	l.mu.Lock()
	part, ok := l.parts[off]
	l.mu.Unlock()
	if !ok || uint64(len(part)) < n {
		var buf bytes.Buffer
		if err := l.v.Read(l.ctx, l.key, off, n, &buf); err != nil {
			return err
		}
		part = buf.Bytes()
		l.mu.Lock()
		l.parts[off] = part
		l.mu.Unlock()
	}
	copy(p, part[:n])
	return nil
}
