package mutable

import (
	"context"
	"errors"
	"io"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// Version is one version of a mutable file, open for reading its ciphertext. Safe for concurrent use.
type Version struct{}

// Header names the version and gives its geometry. Its signature was verified.
func (v *Version) Header() ssk.Header { return ssk.Header{} }

// PublicKey is the file's, as its shares have it. Read only.
func (v *Version) PublicKey() []byte { return nil }

// Signature over the header. Read only.
func (v *Version) Signature() []byte { return nil }

// Blamed lists the servers that lied or failed so far, in the order it was noticed, each share at most once. The caller owns
// it.
func (v *Version) Blamed() []transfer.Blame { return nil }

// Close ends reads in progress and waits for everything the version started. It must not be called from within a read's fn.
// It always returns nil, as often as it is called.
func (v *Version) Close() error { return nil }

// Entry is one share's entry of a segment: the block, with MDMF the salt and the block. It was checked.
type Entry struct {
	Share *ssk.Share
	Data  []byte
}

// Blocks is what decodes to one segment: entries of K different shares. The Data is valid until fn returns.
type Blocks struct {
	Segment int
	Entries []Entry
}

// ReadBlocks calls fn with the segments first to first+count-1, in order, in the caller's goroutine; meanwhile later ones are
// fetched, within [Config.Memory]. An ssk.Prover that is given the entries in this order makes the proofs to pass them on. If fn
// returns an error the read ends with that error as it is.
//
// Errors: transfer.NotEnoughSharesError, ErrRange, ErrClosed, or ctx's error. Segments delivered before an error are good.
func (v *Version) ReadBlocks(ctx context.Context, first, count int, fn func(Blocks) error) error {
	return errors.ErrUnsupported
}

// Read writes length bytes of the contents from offset on to w.
//
// Errors: those of ReadBlocks, ErrNoReadCap, ssk.ErrInconsistent, or w's.
func (v *Version) Read(ctx context.Context, key caps.MutableReadKey, offset, length uint64, w io.Writer) error {
	return errors.ErrUnsupported
}
