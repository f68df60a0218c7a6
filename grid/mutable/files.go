package mutable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// Files are the mutable files of one grid. Safe for concurrent use. Writes of one file through one Files follow each other.
type Files struct {
	cfg     Config
	locks   fileLocks
	keys    keyCache
	silence tiredness
}

// New takes the servers of a grid. It starts nothing.
//
// Errors: ErrConfig.
func New(cfg Config) (*Files, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Files{cfg: cfg}, nil
}

// Result is a version that was written and acknowledged.
type Result struct {
	// Cap is the file's write cap, of kind caps.KindSDMF or caps.KindMDMF, without areas.
	Cap caps.Cap
	// Header names the version. If nothing had to be written it is the one that was there.
	Header ssk.Header
	// Placement has the servers that hold it, by share number; nil if nothing had to be written.
	Placement map[int][]caps.PublicKey
	// Happiness is the number of servers that hold a share of their own of it.
	Happiness int
	// Lost names servers that failed on the way. The write succeeded without them.
	Lost []transfer.Blame
}

// NewKeys takes a pair of keys for a new file from [Config.Keys], or makes one.
//
// Errors: ErrClosed, ctx's error.
func (f *Files) NewKeys(ctx context.Context) (*ssk.Keys, error) {
	if f.cfg.Keys != nil {
		return f.cfg.Keys.Take(ctx)
	}
	return ssk.GenerateKeys()
}

// Create stores size bytes of src as a new mutable file. keys are its keys, nil for new ones; whoever has them already can
// tell the cap before: see ssk.Keys.Cap.
//
// Errors: transfer.ErrUnhappy (too few servers took it), ErrExists, ErrTooLarge, ctx's error, or what src returned.
func (f *Files) Create(ctx context.Context, format ssk.Format, keys *ssk.Keys, src io.ReaderAt, size uint64) (Result, error) {
	if keys == nil {
		var err error
		if keys, err = f.NewKeys(ctx); err != nil {
			return Result{}, fmt.Errorf("making keys: %w", err)
		}
	}
	kind := caps.KindSDMF
	if format == ssk.MDMF {
		kind = caps.KindMDMF
	}
	write, err := keys.Cap(kind)
	if err != nil {
		return Result{}, err
	}
	o, unlock, err := f.begin(ctx, write)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	f.keys.put(o.v.StorageIndex, keys)
	s := f.survey(ctx, o.v)
	defer s.end()
	if err := s.await(ctx, func() time.Duration {
		return s.patientIf(len(s.picture(nil).answered) >= f.cfg.Happy)
	}); err != nil {
		return Result{}, err
	}
	s.mu.Lock()
	p := s.picture(nil)
	s.mu.Unlock()
	if len(p.versions) > 0 {
		return Result{}, ErrExists
	}
	r, err := o.publish(ctx, &view{s: s, p: p}, change{src: src, size: size})
	if errors.Is(err, errConflict) {
		return Result{}, ErrExists
	}
	return r, err
}

// Open asks the servers for a file and picks its newest recoverable version. ctx bounds Open only. The version must be
// closed.
//
// Errors: transfer.NotEnoughSharesError (which matches transfer.ErrNotEnoughShares, and transfer.ErrNoShares if there is no
// trace of the file), ErrRollback, or ctx's error.
func (f *Files) Open(ctx context.Context, v caps.MutableVerify) (*Version, error) {
	return f.open(ctx, v, false)
}

// OpenAny is Open that takes an older version than was seen before too.
func (f *Files) OpenAny(ctx context.Context, v caps.MutableVerify) (*Version, error) {
	return f.open(ctx, v, true)
}

// ReadAll opens the newest version of a file and returns its contents, at most limit bytes. c is a read or write cap.
//
// Errors: those of Open and [Version.Read], ErrNoReadCap, ErrTooLarge.
func (f *Files) ReadAll(ctx context.Context, c caps.Cap, limit uint64) ([]byte, ssk.Header, error) {
	v, ok := c.MutableVerify()
	key, readable := c.MutableReadKey()
	if !ok || !readable {
		return nil, ssk.Header{}, ErrNoReadCap
	}
	for {
		version, err := f.Open(ctx, v)
		if err != nil {
			return nil, ssk.Header{}, err
		}
		contents, err := version.all(ctx, key, limit)
		_ = version.Close()
		if err == nil || !version.Moved() || ctx.Err() != nil {
			return contents, version.Header(), err
		}
		// It was overwritten while it was being read.
	}
}

// all reads a whole version into memory.
func (v *Version) all(ctx context.Context, key caps.MutableReadKey, limit uint64) ([]byte, error) {
	length := v.Header().Length
	if length > limit {
		return nil, fmt.Errorf("%w: %d bytes where %d are allowed", ErrTooLarge, length, limit)
	}
	var buf bytes.Buffer
	err := v.Read(ctx, key, 0, length, &buf)
	return buf.Bytes(), err
}

// Moved reports whether shares of the version were found overwritten: a read that failed may succeed with the version
// that is there now.
func (v *Version) Moved() bool {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	return v.s.moved
}
