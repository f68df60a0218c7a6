package mutable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// Overwrite replaces the contents by size bytes of src, which must not change meanwhile.
//
// Errors: ErrUncoordinated, ErrUnsettled, ErrNoWriteCap, ErrTooLarge, transfer.ErrUnhappy, transfer.ErrNotEnoughShares, ctx's
// error, or what src returned. After ErrUncoordinated, transfer.ErrUnhappy and ctx's error the new contents may stand or not.
func (f *Files) Overwrite(ctx context.Context, write caps.Cap, src io.ReaderAt, size uint64) (Result, error) {
	return f.once(ctx, write, func(*operation, *view) (change, func(), error) {
		return change{src: src, size: size}, nil, nil
	})
}

// WriteAt overwrites size bytes at offset by those of src, or extends the file; a gap reads as zeros. Of an MDMF file only
// the segments that change are sent, if every share of it is there.
//
// Errors: those of Overwrite, and ErrRollback.
func (f *Files) WriteAt(ctx context.Context, write caps.Cap, src io.ReaderAt, offset, size uint64) (Result, error) {
	return f.once(ctx, write, func(o *operation, w *view) (change, func(), error) {
		if w.base == nil {
			return change{}, nil, o.gone(w)
		}
		if err := o.fresh(w); err != nil {
			return change{}, nil, err
		}
		return o.patch(ctx, w, src, offset, size)
	})
}

// once publishes what plan says, and reports it if somebody else has written meanwhile. plan may return a function that is called
// when the publication is over.
func (f *Files) once(ctx context.Context, write caps.Cap, plan func(*operation, *view) (change, func(), error)) (Result, error) {
	o, unlock, err := f.begin(ctx, write)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	w, err := o.look(ctx)
	for {
		if err != nil {
			return Result{}, err
		}
		if len(w.p.versions) == 0 {
			defer w.s.end()
			return Result{}, o.gone(w)
		}
		r, err := func() (Result, error) {
			defer w.s.end()
			c, done, err := plan(o, w)
			if err != nil {
				return Result{}, err
			}
			if done != nil {
				defer done()
			}
			return o.publish(ctx, w, c)
		}()
		if !errors.Is(err, errConflict) {
			return r, err
		}
		before := w.p
		if w, err = o.again(ctx, before); err != nil {
			return Result{}, fmt.Errorf("%w: %w", ErrUncoordinated, err)
		}
		if o.interfered(before, w.p) {
			w.s.end()
			return Result{}, ErrUncoordinated
		}
		// Nobody has written: a server said so and shows nothing.
	}
}

// interfered reports whether there are versions of others that were not there before.
func (o *operation) interfered(before, after *picture) bool {
	known := make(map[ssk.Header]bool)
	for _, v := range before.versions {
		known[v.header] = true
	}
	for _, v := range after.versions {
		if _, own := o.own[v.header]; !own && !known[v.header] {
			return true
		}
	}
	return false
}

// gone is the error of a file that has too few shares.
func (o *operation) gone(w *view) error {
	found, need := w.p.best()
	return w.s.tooFew(found, need)
}

// fresh refuses to base a change on an older version than was seen before.
func (o *operation) fresh(w *view) error {
	seen, _, _ := o.f.cfg.Seen.Newest(o.v.StorageIndex)
	if h := w.base.header; h.Seq < seen && !o.force {
		return &RollbackError{Found: h.Seq, Seen: seen, Blamed: w.s.blames()}
	}
	return nil
}

// Modify replaces the contents by what fn makes of them, so that no acknowledged change is lost, neither this one nor another:
// if somebody else writes at the same time it is tried again on what they wrote, until it is in or ctx ends.
//
// fn may be called several times, with other contents each time, which may have the change of an earlier call in them if
// somebody built on it. It may change old in place and return it. If it returns what it was given, and nobody interfered,
// nothing is written. fn's error ends Modify and is returned as it is.
//
// Errors: ErrUnsettled, ErrRollback, ErrNoWriteCap, ErrTooLarge, transfer.ErrUnhappy, transfer.ErrNotEnoughShares, ctx's error.
// After transfer.ErrUnhappy and ctx's error the change may be in or not.
func (f *Files) Modify(ctx context.Context, write caps.Cap, fn func(old []byte) ([]byte, error)) (Result, error) {
	o, unlock, err := f.begin(ctx, write)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	w, err := o.look(ctx)
	for {
		if err != nil {
			return Result{}, err
		}
		r, err := func() (Result, error) {
			defer w.s.end()
			return o.modify(ctx, w, fn)
		}()
		if !errors.Is(err, errConflict) {
			return r, err
		}
		w, err = o.again(ctx, w.p)
		if err != nil {
			return Result{}, err
		}
	}
}

// modify is one attempt. Errors: errConflict, and what Modify returns.
func (o *operation) modify(ctx context.Context, w *view, fn func([]byte) ([]byte, error)) (Result, error) {
	old, ours, err := o.contents(ctx, w)
	if err != nil {
		return Result{}, err
	}
	changed := old
	if !ours {
		if changed, err = fn(bytes.Clone(old)); err != nil {
			return Result{}, err
		}
		if !o.tried && bytes.Equal(changed, old) && o.calm(w) {
			o.f.cfg.Seen.Note(o.v.StorageIndex, w.base.header.Seq, w.base.header.Root)
			return Result{Cap: o.cap, Header: w.base.header, Happiness: w.base.happiness(), Lost: w.s.blames()}, nil
		}
	}
	memory := bytes.Clone(changed)
	if memory == nil {
		memory = []byte{}
	}
	return o.publish(ctx, w, change{src: bytes.NewReader(memory), size: uint64(len(memory)), memory: memory})
}

// calm reports whether a version is acknowledged as it stands: on enough servers, and nothing newer or of the same number.
func (o *operation) calm(w *view) bool {
	for _, v := range w.p.versions {
		if v != w.base && v.header.Seq >= w.base.header.Seq {
			return false
		}
	}
	return w.base.happiness() >= min(o.f.cfg.Happy, w.base.header.N)
}

// contents are those of the version to base a change on. ours says that it is a version of this operation, which has the change
// in it already. If blocks of the newest version turn out bad an older one is taken.
func (o *operation) contents(ctx context.Context, w *view) (contents []byte, ours bool, err error) {
	for {
		if w.base == nil {
			if o.last == nil {
				return nil, false, o.gone(w)
			}
			// Writers have cut each other's versions to pieces. What ours was based on is gone as well, so that the
			// contents are only here.
			return o.last, true, nil
		}
		if own := o.own[w.base.header]; own.contents != nil {
			return own.contents, true, nil
		}
		if err := o.fresh(w); err != nil {
			return nil, false, err
		}
		v := w.s.version(w.base.header)
		contents, err = v.all(ctx, o.write.ReadKey(), uint64(o.f.cfg.Memory))
		switch {
		case err == nil:
			return contents, false, nil
		case !errors.Is(err, transfer.ErrNotEnoughShares):
			return nil, false, err
		case v.Moved():
			return nil, false, errConflict
		}
		w.s.mu.Lock()
		p := w.s.picture(o.distrusted)
		w.s.mu.Unlock()
		base, _ := o.judge(p)
		if base != nil && base.header == w.base.header {
			return nil, false, err
		}
		if base == nil && o.last == nil {
			return nil, false, err
		}
		w.p, w.base = p, base
	}
}
