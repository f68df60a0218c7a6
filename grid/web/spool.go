package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

// inMemory is the longest upload that is kept in memory.
const inMemory = 256 << 10

// spool keeps what is uploaded until it is stored: it is read more than once, as
// a file's key follows from its content.
type spool struct {
	dir string // "" is the system's
	max int64  // bytes of one upload
}

// upload is an upload that is all there or, until whole returns, still arrives.
// ReadAt waits for what it is to read. Its owner closes it.
type upload struct {
	at    io.ReaderAt
	size  uint64
	file  *os.File // nil in memory
	named bool     // the file still has a name

	mu      sync.Mutex
	more    sync.Cond // arrived or ended has changed
	arrived int64     // bytes that can be read
	ended   bool      // nothing more arrives
	err     error     // why not all arrived
}

// take reads src to its end. want is its length where that is known, else -1;
// seen, which may be nil, is told how many bytes have come.
//
// Errors: io.ErrUnexpectedEOF where it is shorter than want; those
// of the disk.
func (s *spool) take(ctx context.Context, src io.Reader, want int64, seen func(uint64)) (*upload, error) {
	u, err := s.begin(ctx, src, want, seen)
	if err != nil {
		return nil, err
	}
	if err := u.whole(); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// begin is take that returns before all of src was read if its length is known,
// so that its content is hashed while it arrives. Until whole or Close returns,
// src and seen are used by a goroutine of the upload. What goes wrong later is
// what ReadAt and whole return.
func (s *spool) begin(ctx context.Context, src io.Reader, want int64, seen func(uint64)) (*upload, error) {
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
			return nil, brokeOff()
		}
		u := newUpload(bytes.NewReader(head))
		u.size = uint64(len(head))
		u.end(int64(len(head)), nil)
		return u, nil
	}
	f, err := os.CreateTemp(s.dir, "trunkline-upload-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("keeping the upload: %w", err)
	}
	u := newUpload(f)
	u.file = f
	// Without its name nobody else finds it, and it is gone even if this
	// process is killed. Where that is not possible Close removes it.
	u.named = os.Remove(f.Name()) != nil
	src = io.MultiReader(bytes.NewReader(head), src)
	if want >= 0 {
		u.size = uint64(want)
		go func() { u.end(u.keep(src, s.max, want)) }()
		return u, nil
	}
	n, err := u.keep(src, s.max, want)
	u.size = uint64(n) //nolint:gosec // never negative
	u.end(n, err)
	return u, nil
}

func newUpload(at io.ReaderAt) *upload {
	u := &upload{at: at}
	u.more.L = &u.mu
	return u
}

// keep writes src to the file, of which what is written can be read at once.
func (u *upload) keep(src io.Reader, most, want int64) (n int64, err error) {
	buf := make([]byte, inMemory)
	for {
		m, err := src.Read(buf)
		if n+int64(m) > most {
			return n, tooLarge(most)
		}
		if m > 0 {
			if _, err := u.file.Write(buf[:m]); err != nil {
				return n, fmt.Errorf("keeping the upload: %w", err)
			}
			n += int64(m)
			u.mu.Lock()
			u.arrived = n
			u.mu.Unlock()
			u.more.Broadcast()
		}
		switch {
		case errors.Is(err, io.EOF):
			if want >= 0 && n != want {
				return n, brokeOff()
			}
			return n, nil
		case err != nil:
			return n, fmt.Errorf("keeping the upload: %w", err)
		}
	}
}

// end says that nothing more arrives.
func (u *upload) end(n int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.arrived, u.ended, u.err = n, true, err
	u.more.Broadcast()
}

// ReadAt reads what has arrived, and waits until it has. Once the upload broke
// off nothing is read any more.
func (u *upload) ReadAt(p []byte, off int64) (int, error) {
	u.mu.Lock()
	for !u.ended && u.arrived-off < int64(len(p)) {
		u.more.Wait()
	}
	err := u.err
	u.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return u.at.ReadAt(p, off)
}

// whole waits until all is there.
//
// Errors: as for take.
func (u *upload) whole() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for !u.ended {
		u.more.Wait()
	}
	return u.err
}

// Close lets go of the upload, once nothing more arrives. A nil one may be closed.
func (u *upload) Close() {
	if u == nil || u.file == nil {
		return
	}
	_ = u.whole() // its error has been given to who read
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

func brokeOff() error {
	return problemf(http.StatusBadRequest, "the upload broke off: %w", io.ErrUnexpectedEOF)
}

func tooLarge(limit int64) error {
	return problemf(http.StatusRequestEntityTooLarge, "this is too large: at most %d bytes are taken here", limit)
}
