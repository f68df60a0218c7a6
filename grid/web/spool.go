package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// inMemory is the longest upload that is kept in memory.
const inMemory = 256 << 10

// spool keeps what is uploaded until all of it is there: a file's key follows
// from its content.
type spool struct {
	dir string // "" is the system's
	max int64  // bytes of one upload
}

// upload is a whole upload. Its owner closes it.
type upload struct {
	io.ReaderAt
	size  uint64
	file  *os.File // nil in memory
	named bool     // the file still has a name
}

// take reads src to its end. want is its length where that is known, else -1;
// seen, which may be nil, is told how many bytes have come.
//
// Errors: io.ErrUnexpectedEOF where it is shorter than want; those
// of the disk.
func (s *spool) take(ctx context.Context, src io.Reader, want int64, seen func(uint64)) (_ *upload, err error) {
	if want > s.max {
		return nil, tooLarge(s.max)
	}
	src = &countedReader{ctx: ctx, src: src, seen: seen}
	head, err := readUpTo(src, inMemory+1)
	if err != nil {
		return nil, fmt.Errorf("reading the upload: %w", err)
	}
	if len(head) <= inMemory {
		if want >= 0 && int64(len(head)) != want {
			return nil, problemf(http.StatusBadRequest, "the upload broke off: %w", io.ErrUnexpectedEOF)
		}
		return &upload{ReaderAt: bytes.NewReader(head), size: uint64(len(head))}, nil
	}
	f, err := os.CreateTemp(s.dir, "trunkline-upload-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("keeping the upload: %w", err)
	}
	u := &upload{ReaderAt: f, file: f}
	defer func() {
		if err != nil {
			u.Close()
		}
	}()
	// Without its name nobody else finds it, and it is gone even if this
	// process is killed. Where that is not possible Close removes it.
	u.named = os.Remove(f.Name()) != nil
	if _, err := f.Write(head); err != nil {
		return nil, fmt.Errorf("keeping the upload: %w", err)
	}
	n, err := io.Copy(f, io.LimitReader(src, s.max-int64(len(head))+1))
	if err != nil {
		return nil, fmt.Errorf("keeping the upload: %w", err)
	}
	n += int64(len(head))
	switch {
	case n > s.max:
		return nil, tooLarge(s.max)
	case want >= 0 && n != want:
		return nil, problemf(http.StatusBadRequest, "the upload broke off: %w", io.ErrUnexpectedEOF)
	}
	u.size = uint64(n) //nolint:gosec // never negative
	return u, nil
}

// Close lets go of the upload. A nil one may be closed.
func (u *upload) Close() {
	if u == nil || u.file == nil {
		return
	}
	u.file.Close()
	if u.named {
		os.Remove(u.file.Name())
	}
}

// readUpTo reads n bytes, or fewer where src ends.
func readUpTo(src io.Reader, n int) ([]byte, error) {
	var b bytes.Buffer
	_, err := io.CopyN(&b, src, int64(n))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b.Bytes(), err
}

// countedReader tells how far it is, and ends with its context.
type countedReader struct {
	ctx  context.Context
	src  io.Reader
	n    uint64
	seen func(uint64)
}

func (c *countedReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		var known *problem
		if !errors.As(err, &known) {
			err = problemf(http.StatusBadRequest, "the upload broke off: %w", err)
		}
	}
	c.n += uint64(n) //nolint:gosec // never negative
	if c.seen != nil && n > 0 {
		c.seen(c.n)
	}
	return n, err
}

func tooLarge(limit int64) error {
	return problemf(http.StatusRequestEntityTooLarge, "this is too large: at most %d bytes are taken here", limit)
}
