package storage

import (
	"errors"
	"io"
)

const (
	// copyBuffer is how much of a file is copied at a time where the system cannot be asked.
	copyBuffer = 128 << 10
	// copyBySystem is the least that is worth asking the system to copy.
	copyBySystem = 64 << 10
)

// copyRange copies n bytes at off of one file to the same place in another.
func copyRange(to, from file, off, n uint64) error {
	t, ok1 := to.(*rootFile)
	f, ok2 := from.(*rootFile)
	if ok1 && ok2 && n >= copyBySystem {
		done := systemCopy(t.File, f.File, off, n)
		off, n = off+done, n-done
	}
	var buf []byte
	for n > 0 {
		if buf == nil {
			buf = make([]byte, min(n, copyBuffer))
		}
		b := buf[:min(n, uint64(len(buf)))]
		if got, err := from.ReadAt(b, int64(off)); got < len(b) { //nolint:gosec // within a file
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := to.WriteAt(b, int64(off)); err != nil { //nolint:gosec // within a file
			return err
		}
		off, n = off+uint64(len(b)), n-uint64(len(b))
	}
	return nil
}
