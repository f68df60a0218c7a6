package main

import (
	"context"
	"io"
)

// interruptible is standard input that ^C ends: reading a terminal or a pipe where nothing comes can't be called off
// otherwise. The read that was under way is left to end with the process.
type interruptible struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has nowhere else for it
	from io.Reader
	buf  []byte
	rest []byte
	err  error
}

func newInterruptible(ctx context.Context, from io.Reader) *interruptible {
	return &interruptible{ctx: ctx, from: from}
}

func (r *interruptible) Read(b []byte) (int, error) {
	if len(r.rest) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// fill reads once into a buffer of its own, so that a read that is left behind writes into nobody's memory.
func (r *interruptible) fill() {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	done := make(chan struct{})
	var n int
	var err error
	go func() {
		defer close(done)
		n, err = r.from.Read(r.buf)
	}()
	select {
	case <-done:
		r.rest, r.err = r.buf[:n], err
	case <-r.ctx.Done():
		r.err = r.ctx.Err()
	}
}
