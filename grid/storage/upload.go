package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"
)

const (
	// MaxShareBytes bounds a share's length, 256 TiB: the sum over MaxUploads uploads cannot overflow.
	MaxShareBytes = 1 << 48
	// maxGaps bounds the pieces that an upload may be in before they meet: a share written block by
	// block has a few, one written every second byte would have millions.
	maxGaps = 4096
	// compareBytes is how much of a piece written twice is compared at a time.
	compareBytes = 64 << 10
)

// Upload is one share being written. Only whoever allocated it can write it. It ends with Commit, with
// Abort, or when it was idle too long; until then nobody else can upload the same share. All methods are
// safe for concurrent use.
type Upload struct {
	store *Store
	id    shareID
	name  string // of the file under incoming
	size  uint64
	lease Lease

	mu      sync.Mutex
	file    file // nil once the upload ended
	written spans
	err     error     // why it ended, or what stops it from being committed
	active  time.Time // guarded by store.mu
}

// Num is the share's number.
func (u *Upload) Num() int { return u.id.num }

// fileSize is the size of the container that the upload becomes.
func (u *Upload) fileSize() uint64 { return headerSize + u.size + leaseSize }

// WriteAt writes bytes of the share. Pieces come in any order; bytes that were written before must be
// the same again. p is not kept.
//
// Errors: ErrRange, ErrConflict, ErrTooMany (pieces too scattered) leave the upload as it was. ErrNoSpace
// and errors of the disk end it. Once it has ended: what ended it, ErrNoUpload after Commit and Abort.
func (u *Upload) WriteAt(p []byte, off uint64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.file == nil {
		return u.ended()
	}
	if off > u.size || uint64(len(p)) > u.size-off {
		return fmt.Errorf("%w: %d bytes at %d of a share of %d", ErrRange, len(p), off, u.size)
	}
	if len(p) == 0 {
		return nil
	}
	end := off + uint64(len(p))
	for _, o := range u.written.overlap(off, end) {
		if err := u.compare(p[o.begin-off:o.end-off], o.begin); err != nil {
			return err
		}
	}
	if i, j := u.written.touching(off, end); i == j && len(u.written) >= maxGaps {
		return fmt.Errorf("%w: the share is in %d pieces", ErrTooMany, len(u.written))
	}
	if _, err := u.file.WriteAt(p, headerSize+int64(off)); err != nil { //nolint:gosec // below MaxShareBytes
		err = diskError("writing the share", err)
		u.end(err)
		return err
	}
	u.store.wrote(u, u.written.add(off, end))
	return nil
}

// compare checks that p is what stands at off.
func (u *Upload) compare(p []byte, off uint64) error {
	buf := make([]byte, min(len(p), compareBytes))
	for len(p) > 0 {
		b := buf[:min(len(p), len(buf))]
		if _, err := u.file.ReadAt(b, headerSize+int64(off)); err != nil { //nolint:gosec // below MaxShareBytes
			return diskError("reading back the share", err)
		}
		if !bytes.Equal(b, p[:len(b)]) {
			return fmt.Errorf("%w: other bytes were written at %d", ErrConflict, off)
		}
		p, off = p[len(b):], off+uint64(len(b))
	}
	return nil
}

// wrote accounts for bytes that are on the disk now.
func (s *Store) wrote(u *Upload, n uint64) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending -= n
	u.active = now
}

// Commit makes the share complete: its lease is added, and it is durable, name and all, when Commit
// returns nil. The upload has then ended.
//
// Errors: ErrIncomplete leaves the upload open. Any other error ends it, and the share is not there;
// if even its removal failed, it is there whole. ErrConflict: something stands in its place. ErrFailed,
// or an error of the disk.
func (u *Upload) Commit() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.file == nil {
		return u.ended()
	}
	if !u.written.covers(u.size) {
		return ErrIncomplete
	}
	s := u.store
	err := s.writable()
	if err == nil {
		err = u.seal()
	}
	if err == nil {
		err = s.publish(u)
	}
	if err != nil {
		err = diskError("completing the share", err)
	}
	u.end(err)
	return err
}

// seal adds the lease and makes the file's bytes durable.
func (u *Upload) seal() error {
	u.lease.Expiration = u.store.leaseEnd()
	at := headerSize + int64(u.size) //nolint:gosec // below MaxShareBytes
	if _, err := u.file.WriteAt(u.lease.append(nil), at); err != nil {
		return err
	}
	if err := u.file.Sync(); err != nil {
		u.store.fail(err)
		return err
	}
	return nil
}

// publish moves the sealed file to its place and makes its name durable.
func (s *Store) publish(u *Upload) error {
	bucket, final := u.id.bucket(), u.id.path()
	if err := s.move(u.name, bucket, final); err != nil {
		s.prune(u.id.si)
		return err
	}
	// All three, always: a directory that another commit made a moment ago may not be durable yet.
	for _, dir := range []string{bucket, path.Dir(bucket), sharesDir} {
		if err := s.disk.SyncDir(dir); err != nil {
			s.fail(err)
			// Nobody will be told that the share is here, so it should not be.
			return errors.Join(err, s.disk.Remove(final))
		}
	}
	return nil
}

func (s *Store) move(from, bucket, final string) error {
	s.tree.Lock()
	defer s.tree.Unlock()
	if err := s.disk.Mkdir(path.Dir(bucket)); err != nil {
		return err
	}
	if err := s.disk.Mkdir(bucket); err != nil {
		return err
	}
	switch f, err := s.disk.Open(final, false); {
	case err == nil:
		return errors.Join(fmt.Errorf("%w: a share is there already", ErrConflict), f.Close())
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// A mutable file may have been made since the upload was allocated.
	switch mutable, err := s.holdsMutable(bucket); {
	case err != nil:
		return err
	case mutable != nil && *mutable:
		return fmt.Errorf("%w: %w", ErrConflict, ErrMutable)
	}
	return s.disk.Rename(from, final)
}

// Abort gives the upload up and removes what it left. It does nothing if the upload has ended.
func (u *Upload) Abort() { u.abort(ErrNoUpload) }

func (u *Upload) abort(why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.file != nil {
		u.end(why)
	}
}

// ended says why the upload ended.
func (u *Upload) ended() error {
	if u.err == nil {
		return ErrNoUpload // it was committed
	}
	return fmt.Errorf("the upload ended: %w", u.err)
}

// end closes the file, takes the upload off the books, and unless the share was completed (err is nil)
// removes what is under incoming. The caller holds u.mu.
func (u *Upload) end(err error) {
	s := u.store
	u.err = err
	if u.file != nil {
		_ = u.file.Close() // synced, or not wanted any more
		u.file = nil
	}
	if err != nil {
		if rerr := s.disk.Remove(u.name); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			s.log.Warn("an abandoned upload could not be removed, it will be at the next start", "error", rerr)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, u.id)
	s.promised -= u.fileSize()
	s.pending -= u.fileSize() - u.written.total()
	if err == nil {
		s.used += u.fileSize()
	}
}

// ExpireUploads gives up the uploads that were idle for longer than Config.UploadTimeout. Allocate does
// it by itself, so that a dead uploader never keeps another one out.
func (s *Store) ExpireUploads() {
	deadline := s.now().Add(-s.cfg.UploadTimeout)
	var idle []*Upload
	s.mu.Lock()
	for _, u := range s.uploads {
		if u.active.Before(deadline) {
			idle = append(idle, u)
		}
	}
	s.mu.Unlock()
	for _, u := range idle {
		u.abort(fmt.Errorf("%w: idle for more than %v", ErrNoUpload, s.cfg.UploadTimeout))
	}
}

// diskError adds the step that failed, and says ErrNoSpace when the disk is full.
func diskError(step string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%s: %w", step, ErrNoSpace)
	}
	return fmt.Errorf("%s: %w", step, err)
}
