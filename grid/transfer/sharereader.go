package transfer

import (
	"context"
	"errors"
	"io"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// readAhead is how much of a share is asked for at once, in bytes: enough that
// a long way does not make it slow.
const readAhead = 1 << 20

// shareReader reads a share on a server as if it were a file, from beginning to
// end for the most part. One goroutine at a time.
type shareReader struct {
	ctx     context.Context
	server  Server
	si      caps.StorageIndex
	info    storage.ShareInfo
	timeout time.Duration // of one read

	at   uint64 // where buf was read
	buf  []byte // valid bytes
	room []byte // memory of buf
}

// ReadAt implements [io.ReaderAt].
//
// Errors: io.EOF, errSilent, ctx's, or what the server said.
func (r *shareReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || uint64(off) >= r.info.Size {
		return 0, io.EOF
	}
	n := int(min(uint64(len(p)), r.info.Size-uint64(off)))
	if err := r.fill(p[:n], uint64(off)); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fill reads p from what is held, and from the server what is not.
func (r *shareReader) fill(p []byte, at uint64) error {
	if at >= r.at && at < r.at+uint64(len(r.buf)) {
		n := copy(p, r.buf[at-r.at:])
		p, at = p[n:], at+uint64(n)
	}
	for len(p) > 0 {
		if len(p) >= readAhead {
			if err := r.fetch(p[:readAhead], at); err != nil {
				return err
			}
			p, at = p[readAhead:], at+readAhead
			continue
		}
		if r.room == nil {
			r.room = make([]byte, min(readAhead, r.info.Size))
		}
		buf := r.room[:min(uint64(len(r.room)), r.info.Size-at)]
		r.buf = nil
		if err := r.fetch(buf, at); err != nil {
			return err
		}
		r.at, r.buf = at, buf
		n := copy(p, buf)
		p, at = p[n:], at+uint64(n)
	}
	return nil
}

func (r *shareReader) fetch(p []byte, at uint64) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	err := r.server.Read(ctx, r.si, r.info.Num, []storage.Range{{Offset: at, Length: uint64(len(p))}}, [][]byte{p})
	if err != nil && r.ctx.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errSilent
	}
	return err
}
