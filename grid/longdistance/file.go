package longdistance

import (
	"context"
	"fmt"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// MaxAreas is the most areas one request names.
const MaxAreas = 8

// Patience is how long each step of a request may take: the default, and the
// most that a payer may ask for.
const (
	DefaultPatience = 30 * time.Second
	MaxPatience     = 10 * time.Minute
)

// File is one immutable file, opened for reading its ciphertext. A
// *transfer.File is one, and so is what [Payer.Open] returns.
//
// UEB returns the block that hashes to the cap's UEB hash; the caller must not
// change it. Read calls fn with the segments first, first+1, … in order, each
// verified against the UEB's ciphertext tree, in memory that does not grow
// with count; it returns fn's error as it is. Segment.Data and Segment.Chain
// are valid until fn returns. Read and Close are called by one goroutine at a
// time unless the implementation says more. Close returns when everything the
// file started has ended.
type File interface {
	UEB() []byte
	Geometry() chk.Geometry
	Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error
	Close() error
}

// Source is where a [Payee] finds files.
//
// Open returns a file that the caller reads once and closes. Its errors carry
// a kind of p2p's that crosses the wire: NotFound if nobody has the file,
// Unavailable if those who may have it did not answer, Integrity if what was
// found is damaged beyond use, Refused if policy forbids it, Unpaid or Expired
// if the payee as a payer was refused. Safe for concurrent use.
type Source interface {
	Open(ctx context.Context, r Request) (File, error)
}

// Request asks for a byte range of one file's ciphertext, immutable or mutable.
// It has no room for a read key.
type Request struct {
	// Areas hold the file, best first; at most [MaxAreas]. A source that is
	// one area's own ignores them.
	Areas []caps.AreaCode
	// Cap is what the bytes of an immutable file are verified against.
	Cap caps.CHKVerify
	// Mutable, unless it is nil, names a mutable file that is wanted instead.
	// Cap is zero then.
	Mutable *Wish
	// Offset and Length say which bytes are wanted, and so which segments
	// will be read: chk.Geometry.Cover(Offset, Length), or ssk.Header's. Length
	// 0 asks for the description only. Of a mutable file, whose length is not
	// known, the range is cut at its end.
	Offset, Length uint64
	// MaxCredits is the most that the asker will pay for this request, in
	// micro-units of the payee's currency. 0: no limit.
	MaxCredits billing.Credits
	// Patience is how long the asker waits for each step. 0 means
	// [DefaultPatience].
	Patience time.Duration
	// Payer is the key that asks: the remote end of the stream it came in
	// on. Payers leave it zero.
	Payer caps.PublicKey

	// before is what the payer got by earlier requests for the same file, and
	// holds against MaxCredits with this one.
	before billing.Mark
}

// Validate checks the bounds of every field. Its errors match
// p2p.ErrMalformed.
func (r Request) Validate() error {
	if len(r.Areas) > MaxAreas {
		return fmt.Errorf("a request names %d areas, at most %d are allowed: %w", len(r.Areas), MaxAreas, p2p.ErrMalformed)
	}
	if err := r.validateFile(); err != nil {
		return err
	}
	if r.MaxCredits < 0 {
		return fmt.Errorf("a request for less than nothing: %w", p2p.ErrMalformed)
	}
	if r.Patience < 0 || r.Patience > MaxPatience {
		return fmt.Errorf("a request with a patience of %v, at most %v is allowed: %w", r.Patience, MaxPatience, p2p.ErrMalformed)
	}
	return nil
}

// validateFile checks what is wanted.
func (r Request) validateFile() error {
	if w := r.Mutable; w != nil {
		if r.Cap != (caps.CHKVerify{}) {
			return fmt.Errorf("a request for two files: %w", p2p.ErrMalformed)
		}
		if w.Version == (ssk.Header{}) {
			return nil
		}
		if err := w.Version.Validate(); err != nil || w.Version.Format != ssk.FormatOf(w.Cap) {
			return fmt.Errorf("a request for an impossible version: %w", p2p.ErrMalformed)
		}
		return nil
	}
	if err := r.Cap.Validate(); err != nil {
		return fmt.Errorf("verify cap: %w: %w", err, p2p.ErrMalformed)
	}
	if r.Offset > r.Cap.Size || r.Length > r.Cap.Size-r.Offset {
		return fmt.Errorf("a request for %d bytes at %d of a file of %d: %w", r.Length, r.Offset, r.Cap.Size, p2p.ErrMalformed)
	}
	return nil
}

// least is how many bytes the request brings at least, if it brings any.
func (r Request) least() uint64 {
	if r.Mutable != nil {
		return 0 // the file may be empty
	}
	return r.Length
}

// start is how many bytes an approval must have room for before the request.
func (r Request) start() uint64 {
	if r.Mutable != nil {
		return min(r.Length, unknownBytes)
	}
	return min(r.Length, startBytes)
}

// patience is Patience with its default.
func (r Request) patience() time.Duration {
	if r.Patience == 0 {
		return DefaultPatience
	}
	return r.Patience
}
