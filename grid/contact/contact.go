// Package contact is a grid's contact point towards other grids: files of its own
// storage servers, opened as ciphertext for whoever the range protocol lets in.
// It has no key that opens any of them.
package contact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// Defaults of [Config].
const (
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
	// Mutable has the grid's mutable files. nil: none are served.
	Mutable *mutable.Files
	// Deny refuses files that are not served, for reasons of the operator's, by
	// their verify caps; the error's kind and text go to who asked. nil: none.
	Deny func(caps.Cap) error
	// MaxFiles and Idle bound what is kept open, as in transfer.ShelfConfig.
	MaxFiles int
	Idle     time.Duration
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
// last reader, so that the next one need not look for shares again; those that
// can change are looked for each time. It is a
// longdistance.MutableSource, safe for concurrent use.
type Source struct {
	config Config
	shelf  *transfer.Shelf

	mu     sync.Mutex
	absent map[caps.CHKVerify]time.Time // until when
}

var _ longdistance.MutableSource = (*Source)(nil)

// NewSource makes a source. Close it after the payees that read from it.
func NewSource(c Config) *Source {
	s := &Source{config: c.withDefaults(), absent: make(map[caps.CHKVerify]time.Time)}
	s.shelf = transfer.NewShelf(transfer.ShelfConfig{Open: s.find, MaxFiles: s.config.MaxFiles, Idle: s.config.Idle, Now: s.config.Now})
	return s
}

// Open opens a file. The areas that r names do not matter here.
//
// Errors: p2p.ErrNotFound if no server has a share; p2p.ErrUnavailable if
// fewer than needed could be had; p2p.ErrIntegrity if what there is is corrupt;
// Deny's.
func (s *Source) Open(ctx context.Context, r longdistance.Request) (longdistance.File, error) {
	if err := s.denied(r.Cap.Cap()); err != nil {
		return nil, err
	}
	if s.isAbsent(r.Cap) {
		return nil, errNotFound
	}
	f, err := s.shelf.Open(ctx, r.Cap)
	if err != nil {
		if err = kinded(err); errors.Is(err, errNotFound) {
			s.missed(r.Cap)
		}
		return nil, err
	}
	return kindedFile{f}, nil
}

func (s *Source) denied(verify caps.Cap) error {
	if s.config.Deny == nil {
		return nil
	}
	if err := s.config.Deny(verify); err != nil {
		return fmt.Errorf("%w: %w", err, p2p.ErrRefused)
	}
	return nil
}

var errNotFound = fmt.Errorf("no server of this grid has a share of the file: %w", p2p.ErrNotFound)

// find finds the file's shares.
func (s *Source) find(ctx context.Context, v caps.CHKVerify) (*transfer.File, error) {
	open := func() (*transfer.File, error) {
		return transfer.Open(ctx, transfer.Config{
			Servers: s.config.Servers(), Memory: s.config.Memory, Timeout: s.config.Timeout, Logger: s.config.Logger, Now: s.config.Now,
		}, v)
	}
	f, err := open()
	if err != nil && ctx.Err() == nil && s.config.Look != nil && s.config.Look(ctx) {
		f, err = open()
	}
	return f, err
}

// isAbsent says whether a file was looked for in vain a moment ago.
func (s *Source) isAbsent(v caps.CHKVerify) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.absent[v]
	if ok && !s.config.Now().Before(until) {
		delete(s.absent, v)
		ok = false
	}
	return ok
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

// Close closes all files that nobody reads; those that are read close with
// their readers.
func (s *Source) Close() error { return s.shelf.Close() }

// kindedFile is a file whose errors tell who asked what to do.
type kindedFile struct{ *transfer.Reader }

// Read implements longdistance.File.
func (f kindedFile) Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error {
	var refused error
	err := f.Reader.Read(ctx, first, count, func(s transfer.Segment) error {
		refused = fn(s)
		return refused
	})
	if err == nil || refused != nil || ctx.Err() != nil {
		return err
	}
	return kinded(err)
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
	case errors.Is(err, transfer.ErrClosed), errors.Is(err, mutable.ErrClosed):
		return fmt.Errorf("%w: %w", err, p2p.ErrUnavailable)
	}
	return err
}
