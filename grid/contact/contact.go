// Package contact is a grid's contact point towards other grids: files of its own
// storage servers, opened as ciphertext for whoever the range protocol lets in.
// It has no key that opens any of them.
package contact

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// Defaults of [Config].
const (
	DefaultMaxFiles   = 64
	DefaultIdle       = 2 * time.Minute
	DefaultAbsence    = 5 * time.Second
	maxAbsences       = 4096
	defaultReadMemory = 8 << 20
)

// Config makes a [Source]. Servers is required.
type Config struct {
	// Servers returns the grid's storage servers, now.
	Servers func() []transfer.Server
	// Look looks for servers that have joined since, before a file that could
	// not be had is given up, and says whether there are any. nil: there are
	// none.
	Look func(ctx context.Context) bool
	// Deny refuses files that are not served, for reasons of the operator's;
	// the error's kind and text go to who asked. nil: none.
	Deny func(caps.CHKVerify) error
	// MaxFiles is how many files nobody is reading are kept open. Default 64.
	MaxFiles int
	// Idle is how long such a file is kept. Default 2 min.
	Idle time.Duration
	// Absence is how long a file that was not there is not looked for again.
	// Default 5 s; negative: not at all.
	Absence time.Duration
	// Memory bounds the segments of one read in flight, in bytes. Default
	// 8 MiB.
	Memory int64
	// Timeout is transfer's, for one request to a server.
	Timeout time.Duration
	// Logger gets what an operator may care about; nil discards.
	Logger *slog.Logger
	// Now is the clock of Absence. Default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.MaxFiles <= 0 {
		c.MaxFiles = DefaultMaxFiles
	}
	if c.Idle <= 0 {
		c.Idle = DefaultIdle
	}
	if c.Absence == 0 {
		c.Absence = DefaultAbsence
	}
	if c.Memory <= 0 {
		c.Memory = defaultReadMemory
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return c
}

// Source opens the grid's files. It keeps files open for a while after their
// last reader, so that the next one need not look for shares again. It is a
// longdistance.Source, safe for concurrent use.
type Source struct {
	config Config

	mu     sync.Mutex
	closed bool
	files  map[caps.CHKVerify]*file
	idle   *list.List // of *file that nobody reads, least recently used first
	sweep  *time.Timer
	absent map[caps.CHKVerify]time.Time // until when
}

// file is one open file, and those who read it.
type file struct {
	cap caps.CHKVerify

	opened chan struct{} // closed when inner or err stands
	inner  *transfer.File
	err    error

	// Under Source.mu.
	readers int
	stale   bool          // to be closed after its last reader
	place   *list.Element // in idle; nil while read
	since   time.Time
}

var _ longdistance.Source = (*Source)(nil)

// NewSource makes a source. Close it after the payees that read from it.
func NewSource(c Config) *Source {
	s := &Source{
		config: c.withDefaults(),
		files:  make(map[caps.CHKVerify]*file),
		idle:   list.New(),
		absent: make(map[caps.CHKVerify]time.Time),
	}
	s.sweep = time.AfterFunc(s.config.Idle, s.closeIdle)
	return s
}

// Open opens a file. The areas that r names do not matter here.
//
// Errors: p2p.ErrNotFound if no server has a share; p2p.ErrUnavailable if
// fewer than needed could be had; p2p.ErrIntegrity if what there is is corrupt;
// Deny's.
func (s *Source) Open(ctx context.Context, r longdistance.Request) (longdistance.File, error) {
	if s.config.Deny != nil {
		if err := s.config.Deny(r.Cap); err != nil {
			return nil, fmt.Errorf("%w: %w", err, p2p.ErrRefused)
		}
	}
	for {
		f, leads, err := s.enter(r.Cap)
		if err != nil {
			return nil, err
		}
		if leads {
			f.inner, f.err = s.open(ctx, r.Cap)
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
			return &handle{source: s, file: f, fresh: leads}, nil
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

// enter counts a reader of the file, and says whether it has to open it.
func (s *Source) enter(v caps.CHKVerify) (f *file, leads bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, fmt.Errorf("contact point: %w: %w", longdistance.ErrClosed, p2p.ErrUnavailable)
	}
	if until, ok := s.absent[v]; ok {
		if s.config.Now().Before(until) {
			return nil, false, errNotFound
		}
		delete(s.absent, v)
	}
	f, ok := s.files[v]
	if !ok {
		f = &file{cap: v, opened: make(chan struct{})}
		s.files[v] = f
	}
	f.readers++
	if f.place != nil {
		s.idle.Remove(f.place)
		f.place = nil
	}
	return f, !ok, nil
}

var errNotFound = fmt.Errorf("no server of this grid has a share of the file: %w", p2p.ErrNotFound)

// open finds the file's shares.
func (s *Source) open(ctx context.Context, v caps.CHKVerify) (*transfer.File, error) {
	find := func() (*transfer.File, error) {
		return transfer.Open(ctx, transfer.Config{
			Servers: s.config.Servers(), Memory: s.config.Memory, Timeout: s.config.Timeout, Logger: s.config.Logger, Now: s.config.Now,
		}, v)
	}
	inner, err := find()
	if err != nil && ctx.Err() == nil && s.config.Look != nil && s.config.Look(ctx) {
		inner, err = find()
	}
	if err == nil {
		return inner, nil
	}
	if errors.Is(kinded(err), errNotFound) {
		s.missed(v)
	}
	return nil, kinded(err)
}

// missed remembers that there is no such file here.
func (s *Source) missed(v caps.CHKVerify) {
	if s.config.Absence < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	if len(s.absent) >= maxAbsences {
		for v, until := range s.absent {
			if !now.Before(until) {
				delete(s.absent, v)
			}
		}
	}
	if len(s.absent) < maxAbsences {
		s.absent[v] = now.Add(s.config.Absence)
	}
}

// leave counts a reader out. drop says that the file is of no more use to later
// ones.
func (s *Source) leave(f *file, drop bool) {
	s.mu.Lock()
	f.readers--
	if drop || s.closed {
		f.stale = true
		if s.files[f.cap] == f {
			delete(s.files, f.cap)
		}
	}
	var done []*file
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
	s.end(done)
}

// evict takes an idle file out. The caller holds mu.
func (s *Source) evict(e *list.Element) *file {
	f := s.idle.Remove(e).(*file)
	f.place = nil
	delete(s.files, f.cap)
	return f
}

// end closes files that nobody reads and nobody can find any more.
func (s *Source) end(files []*file) {
	for _, f := range files {
		if f.inner == nil {
			continue
		}
		_ = f.inner.Close() // it always returns nil
	}
}

// closeIdle closes files that were idle for too long.
func (s *Source) closeIdle() {
	s.mu.Lock()
	var done []*file
	limit := s.config.Now().Add(-s.config.Idle)
	for e := s.idle.Front(); e != nil && !e.Value.(*file).since.After(limit); e = s.idle.Front() {
		done = append(done, s.evict(e))
	}
	if !s.closed {
		s.sweep.Reset(s.config.Idle)
	}
	s.mu.Unlock()
	s.end(done)
}

// Close closes all files that nobody reads; those that are read close with
// their readers.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.sweep.Stop()
	var done []*file
	for s.idle.Len() > 0 {
		done = append(done, s.evict(s.idle.Front()))
	}
	s.mu.Unlock()
	s.end(done)
	return nil
}

// handle is one reader of a file. One goroutine uses it.
type handle struct {
	source *Source
	*file
	fresh  bool // the file was opened for this reader
	failed bool
	once   sync.Once
}

// UEB implements longdistance.File.
func (h *handle) UEB() []byte { return h.inner.UEB() }

// Geometry implements longdistance.File.
func (h *handle) Geometry() chk.Geometry { return h.inner.Geometry() }

// Read implements longdistance.File.
func (h *handle) Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error {
	for next, end := first, first+count; ; {
		var refused error
		err := h.inner.Read(ctx, next, end-next, func(s transfer.Segment) error {
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
		if h.fresh || h.again(ctx) != nil {
			h.failed = true
			return kinded(err)
		}
	}
}

// again opens the file anew.
func (h *handle) again(ctx context.Context) error {
	h.source.leave(h.file, true)
	opened, err := h.source.Open(ctx, longdistance.Request{Cap: h.cap})
	if err != nil {
		h.once.Do(func() {}) // it has left
		return err
	}
	h.file, h.fresh = opened.(*handle).file, true
	return nil
}

// Close implements longdistance.File.
func (h *handle) Close() error {
	h.once.Do(func() { h.source.leave(h.file, h.failed) })
	return nil
}

// kinded gives an error of transfer's the kind that tells who asked what to do.
func kinded(err error) error {
	var few *transfer.NotEnoughSharesError
	switch {
	case errors.As(err, &few):
		lied, silent := false, false
		for _, b := range few.Blamed {
			lied = lied || b.Corrupt()
			silent = silent || !b.Corrupt()
		}
		switch {
		case few.Asked == 0:
			return fmt.Errorf("this contact point knows no storage server: %w", p2p.ErrUnavailable)
		case few.Found == 0 && !lied && !silent:
			return errNotFound
		case lied && !silent:
			return fmt.Errorf("%w: %w", few, p2p.ErrIntegrity)
		default:
			return fmt.Errorf("%w: %w", few, p2p.ErrUnavailable)
		}
	case errors.Is(err, transfer.ErrInconsistent):
		return fmt.Errorf("%w: %w", err, p2p.ErrIntegrity)
	case errors.Is(err, transfer.ErrClosed):
		return fmt.Errorf("%w: %w", err, p2p.ErrUnavailable)
	}
	return err
}
