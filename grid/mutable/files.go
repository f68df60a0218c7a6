package mutable

import (
	"context"
	"errors"
	"io"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// Files are the mutable files of one grid. Safe for concurrent use. Writes of one file through one Files follow each other.
type Files struct {
	cfg Config
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
func (f *Files) NewKeys(ctx context.Context) (*ssk.Keys, error) {
	return nil, errors.ErrUnsupported
}

// Create stores size bytes of src as a new mutable file. keys are its keys, nil for new ones; whoever has them already can
// tell the cap before: see ssk.Keys.Cap.
//
// Errors: transfer.ErrUnhappy (too few servers took it), ErrExists, ErrTooLarge, ctx's error, or what src returned.
func (f *Files) Create(ctx context.Context, format ssk.Format, keys *ssk.Keys, src io.ReaderAt, size uint64) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

// Open asks the servers for a file and picks its newest recoverable version. ctx bounds Open only. The version must be
// closed.
//
// Errors: transfer.NotEnoughSharesError (which matches transfer.ErrNotEnoughShares, and transfer.ErrNoShares if there is no
// trace of the file), ErrRollback, or ctx's error.
func (f *Files) Open(ctx context.Context, v caps.MutableVerify) (*Version, error) {
	return nil, errors.ErrUnsupported
}

// OpenAny is Open that takes an older version than was seen before too.
func (f *Files) OpenAny(ctx context.Context, v caps.MutableVerify) (*Version, error) {
	return nil, errors.ErrUnsupported
}

// ReadAll opens the newest version of a file and returns its contents, at most limit bytes. c is a read or write cap.
//
// Errors: those of Open and [Version.Read], ErrNoReadCap, ErrTooLarge.
func (f *Files) ReadAll(ctx context.Context, c caps.Cap, limit uint64) ([]byte, ssk.Header, error) {
	return nil, ssk.Header{}, errors.ErrUnsupported
}

// Overwrite replaces the contents by size bytes of src, which must not change meanwhile.
//
// Errors: ErrUncoordinated, ErrUnsettled, ErrNoWriteCap, ErrTooLarge, transfer.ErrUnhappy, transfer.ErrNotEnoughShares, ctx's
// error, or what src returned. After ErrUncoordinated, transfer.ErrUnhappy and ctx's error the new contents may stand or not.
func (f *Files) Overwrite(ctx context.Context, write caps.Cap, src io.ReaderAt, size uint64) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

// WriteAt overwrites size bytes at offset by those of src, or extends the file; a gap reads as zeros. Of an MDMF file only
// the segments that change are sent.
//
// Errors: those of Overwrite, and ErrRollback.
func (f *Files) WriteAt(ctx context.Context, write caps.Cap, src io.ReaderAt, offset, size uint64) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

// Modify replaces the contents by what fn makes of them, so that no acknowledged change is lost, neither this one nor another:
// if somebody else writes at the same time it is tried again on what they wrote, until it is in or ctx ends.
//
// fn may be called several times, with other contents each time. It may change old in place and return it. If it returns what
// it was given, and nobody interfered, nothing is written. fn's error ends Modify and is returned as it is.
//
// Errors: ErrUnsettled, ErrRollback, ErrNoWriteCap, ErrTooLarge, transfer.ErrUnhappy, transfer.ErrNotEnoughShares, ctx's error.
// After transfer.ErrUnhappy and ctx's error the change may be in or not.
func (f *Files) Modify(ctx context.Context, write caps.Cap, fn func(old []byte) ([]byte, error)) (Result, error) {
	return Result{}, errors.ErrUnsupported
}
