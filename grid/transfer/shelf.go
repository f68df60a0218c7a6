package transfer

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
)

// Defaults of [ShelfConfig].
const (
	DefaultShelfFiles = 64
	DefaultShelfIdle  = 2 * time.Minute
)

// ShelfConfig makes a [Shelf]. Open is required.
type ShelfConfig struct {
	// Open opens a file, with [Open] and the servers of the moment.
	Open func(ctx context.Context, v caps.CHKVerify) (*File, error)
	// MaxFiles is how many files nobody is reading are kept open. Default
	// [DefaultShelfFiles].
	MaxFiles int
	// Idle is how long such a file is kept. Default [DefaultShelfIdle].
	Idle time.Duration
	// Now is the clock of Idle. nil means the system's.
	Now func() time.Time
}

// Shelf keeps immutable files open for a while after their last reader, so that
// the next one need not look for shares again, and knows which servers to do
// without. Safe for concurrent use.
type Shelf struct {
	config ShelfConfig

	mu     sync.Mutex
	closed bool
	files  map[caps.CHKVerify]*shelved
	idle   *list.List // of *shelved that nobody reads, least recently used first
	sweep  *time.Timer
}

// shelved is one open file, and those who read it.
type shelved struct {
	cap caps.CHKVerify

	opened chan struct{} // closed when inner or err stands
	inner  *File
	err    error

	// Under Shelf.mu.
	readers int
	stale   bool          // to be closed after its last reader
	place   *list.Element // in idle; nil while read
	since   time.Time
}

// NewShelf makes a shelf. Close it after its readers.
func NewShelf(c ShelfConfig) *Shelf {
	if c.MaxFiles <= 0 {
		c.MaxFiles = DefaultShelfFiles
	}
	if c.Idle <= 0 {
		c.Idle = DefaultShelfIdle
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	s := &Shelf{config: c, files: make(map[caps.CHKVerify]*shelved), idle: list.New()}
	s.sweep = time.AfterFunc(c.Idle, s.closeIdle)
	return s
}

// Open returns a file that is open already, or opens it. Those who ask at the
// same time share one opening.
//
// Errors: [ErrClosed]; the config's Open's; ctx's.
func (s *Shelf) Open(ctx context.Context, v caps.CHKVerify) (*Reader, error) {
	for {
		f, leads := s.enter(v)
		if f == nil {
			return nil, ErrClosed
		}
		if leads {
			f.inner, f.err = s.config.Open(ctx, v)
			close(f.opened)
		} else {
			select {
			case <-f.opened:
			case <-ctx.Done():
				s.leave(f, false)
				return nil, ctx.Err()
			}
		}
		if f.err == nil {
			return &Reader{shelf: s, file: f, fresh: leads}, nil
		}
		s.leave(f, true)
		// Who led may have left; that says nothing about the file.
		if !leads && isContext(f.err) && ctx.Err() == nil {
			continue
		}
		return nil, f.err
	}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// enter counts a reader of the file, and says whether it has to open it. It
// returns nil if the shelf is closed.
func (s *Shelf) enter(v caps.CHKVerify) (f *shelved, leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	f, ok := s.files[v]
	if !ok {
		f = &shelved{cap: v, opened: make(chan struct{})}
		s.files[v] = f
	}
	f.readers++
	if f.place != nil {
		s.idle.Remove(f.place)
		f.place = nil
	}
	return f, !ok
}

// leave counts a reader out. drop says that the file is of no more use to later
// ones.
func (s *Shelf) leave(f *shelved, drop bool) {
	s.mu.Lock()
	f.readers--
	if drop || s.closed {
		f.stale = true
		if s.files[f.cap] == f {
			delete(s.files, f.cap)
		}
	}
	var done []*shelved
	if f.readers == 0 {
		if f.stale {
			done = append(done, f)
		} else {
			f.since = s.config.Now()
			f.place = s.idle.PushBack(f)
			for s.idle.Len() > s.config.MaxFiles {
				done = append(done, s.evict(s.idle.Front()))
			}
		}
	}
	s.mu.Unlock()
	endShelved(done)
}

// evict takes an idle file out. The caller holds mu.
func (s *Shelf) evict(e *list.Element) *shelved {
	f := s.idle.Remove(e).(*shelved)
	f.place = nil
	delete(s.files, f.cap)
	return f
}

// endShelved closes files that nobody reads and nobody can find any more.
func endShelved(files []*shelved) {
	for _, f := range files {
		if f.inner == nil {
			continue
		}
		_ = f.inner.Close() // it always returns nil
	}
}

// closeIdle closes files that were idle for too long.
func (s *Shelf) closeIdle() {
	s.mu.Lock()
	var done []*shelved
	limit := s.config.Now().Add(-s.config.Idle)
	for e := s.idle.Front(); e != nil && !e.Value.(*shelved).since.After(limit); e = s.idle.Front() {
		done = append(done, s.evict(e))
	}
	if !s.closed {
		s.sweep.Reset(s.config.Idle)
	}
	s.mu.Unlock()
	endShelved(done)
}

// Close closes all files that nobody reads; those that are read close with
// their readers. It always returns nil.
func (s *Shelf) Close() error {
	s.mu.Lock()
	s.closed = true
	s.sweep.Stop()
	var done []*shelved
	for s.idle.Len() > 0 {
		done = append(done, s.evict(s.idle.Front()))
	}
	s.mu.Unlock()
	endShelved(done)
	return nil
}

// Reader is one reader of a file of a [Shelf]. One goroutine uses it.
type Reader struct {
	shelf  *Shelf
	file   *shelved
	fresh  bool // the file was opened for this reader
	failed bool
	once   sync.Once
}

// UEB is File's.
func (r *Reader) UEB() []byte { return r.file.inner.UEB() }

// Geometry is File's.
func (r *Reader) Geometry() chk.Geometry { return r.file.inner.Geometry() }

// Blamed is File's: it may name what was noticed for earlier readers.
func (r *Reader) Blamed() []Blame { return r.file.inner.Blamed() }

// Read is File's. A file that was opened for an earlier reader is opened anew
// before this one is told that it cannot be had.
func (r *Reader) Read(ctx context.Context, first, count int, fn func(Segment) error) error {
	for next, end := first, first+count; ; {
		var refused error
		err := r.file.inner.Read(ctx, next, end-next, func(s Segment) error {
			if refused = fn(s); refused == nil {
				next = s.Index + 1
			}
			return refused
		})
		if err == nil || refused != nil || ctx.Err() != nil {
			return err
		}
		// A file that was opened for an earlier reader has given up servers that
		// failed or lied since; they may be mended, and others may have come.
		if r.fresh || r.again(ctx) != nil {
			r.failed = true
			return err
		}
	}
}

// again opens the file anew.
func (r *Reader) again(ctx context.Context) error {
	r.shelf.leave(r.file, true)
	opened, err := r.shelf.Open(ctx, r.file.cap)
	if err != nil {
		r.once.Do(func() {}) // it has left
		return err
	}
	r.file, r.fresh = opened.file, true
	return nil
}

// Close gives the file back. A second call does nothing. It always returns nil.
func (r *Reader) Close() error {
	r.once.Do(func() { r.shelf.leave(r.file, r.failed) })
	return nil
}
