package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/fec"
)

// RepairResult says what a repair found and did.
type RepairResult struct {
	// Before is what the check found, After what follows from it and from
	// what was stored. They are equal if nothing had to be done.
	Before, After Health
	// Upload says where the shares are that were made; its Cap is zero.
	// Placement is nil if none were.
	Upload UploadResult
}

// Repair checks a file as o says, and makes and places the shares that are
// missing, and copies of others where that spreads the file over more servers.
// It works with a verify cap alone: it reads the ciphertext, each segment of it
// verified, from the servers of read, and stores shares on those of write. The
// cap stays the same.
//
// Of write, K, N, MaxSegment and Secret are not used; Happy is what the file
// should come to. What can be placed is placed, also if that is less. A server
// that has a corrupt share, or failed, is given no new ones: the former cannot
// take the good one in its place. All shares that are stored are durable when Repair returns.
//
// Errors: [NotEnoughSharesError] if the file cannot be read, [UnhappyError] if
// shares were missing and it comes to less than Happy, [ErrInconsistent] if the uploader made it wrong,
// [ErrConfig], what v.Validate says, or ctx's error. Before is set unless the
// check itself failed; After as well if it is an UnhappyError.
func Repair(ctx context.Context, read Config, write UploadConfig, v caps.CHKVerify, o CheckOptions) (RepairResult, error) {
	write.K, write.N = v.K, v.N
	if write.Happy == 0 {
		write.Happy = DefaultHappy
	}
	wanted := min(write.Happy, v.N)
	write.Happy = 1 // what can be placed is placed
	write, err := write.withDefaults()
	if err != nil {
		return RepairResult{}, err
	}
	before, err := Check(ctx, read, v, o)
	if err != nil {
		return RepairResult{}, err
	}
	r := RepairResult{Before: before, After: before}
	if !before.Recoverable() {
		return r, before.tooFew()
	}
	if len(before.Good) == v.N && before.Happiness >= wanted {
		return r, nil
	}
	if r.Upload, err = remake(ctx, read, write, v, before); err != nil && !errors.Is(err, ErrUnhappy) {
		return r, err
	}
	if err == nil {
		r.After = before.with(r.Upload)
	}
	if r.After.Happiness < wanted && len(before.Good) < v.N {
		short := &UnhappyError{Placed: r.After.Happiness, Wanted: wanted, Servers: len(write.Servers), Failed: r.Upload.Lost}
		if unhappy := (*UnhappyError)(nil); errors.As(err, &unhappy) {
			short.Failed = unhappy.Failed
		}
		return r, short
	}
	return r, nil
}

// tooFew is the error for a file that cannot be read.
func (h Health) tooFew() error {
	e := &NotEnoughSharesError{
		Found: len(h.Good), Need: h.Needed, Asked: len(h.Responded), Blamed: slices.Clone(h.Failed),
	}
	for _, b := range h.Failed {
		if b.Share < 0 {
			e.Asked++
		}
	}
	for _, l := range h.Corrupt {
		e.Blamed = append(e.Blamed, Blame{l.Server, l.Num, l.Reason})
	}
	return e
}

// with is the health after shares were stored.
func (h Health) with(r UploadResult) Health {
	good := make(map[int][]caps.PublicKey, len(h.Good))
	for num, keys := range h.Good {
		good[num] = slices.Clone(keys)
	}
	for num, key := range r.Placement {
		if !slices.Contains(good[num], key) {
			good[num] = append(good[num], key)
		}
	}
	h.Good = good
	h.finish()
	return h
}

// remake makes shares again and stores those that are not where they should be.
func remake(ctx context.Context, read Config, write UploadConfig, v caps.CHKVerify, before Health) (UploadResult, error) {
	f, err := Open(ctx, read, v)
	if err != nil {
		return UploadResult{}, fmt.Errorf("reading the file: %w", err)
	}
	defer func() { _ = f.Close() }() // it always returns nil
	u := newUpload(write, v.Size)
	u.sealed = true
	u.src = &crypttext{ctx, f}
	if u.code, err = fec.New(v.K, v.N); err != nil {
		return UploadResult{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if u.encoder, err = chk.NewEncoder(chk.EncoderConfig{UEB: f.ueb, Code: u.code}); err != nil {
		return UploadResult{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	u.window = tokens(write, f.Geometry())
	u.placer = repairPlacer(read, write, v.StorageIndex, u.encoder.ShareLen(), before)
	u.progress(PhasePlace, 0)
	at, err := u.placer.place(ctx)
	if err != nil {
		return UploadResult{}, err
	}
	if !u.placer.anyOpen() {
		u.placer.wg.Wait()
		return UploadResult{Lost: u.placer.lost}, nil
	}
	r, err := u.run(ctx, at)
	if errors.Is(err, chk.ErrShares) || errors.Is(err, chk.ErrSegment) {
		err = fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	return r, err
}

// repairPlacer knows from a check what is where, and asks nobody.
func repairPlacer(read Config, write UploadConfig, si caps.StorageIndex, size uint64, h Health) *placer {
	takes := make(map[caps.PublicKey]bool)
	for _, s := range write.Servers {
		takes[s.Key()] = true
	}
	write.Servers = append(slices.Clone(write.Servers), read.Servers...) // of two with one key the first stays
	p := newPlacer(write, si, size)
	p.active = len(p.targets)
	suspect := make(map[caps.PublicKey]bool)
	for _, l := range h.Corrupt {
		suspect[l.Server] = true
	}
	for _, b := range h.Failed {
		suspect[b.Server] = true
	}
	for _, t := range p.targets {
		key := t.server.Key()
		t.takes = takes[key] && !suspect[key]
		for num, keys := range h.Good {
			t.have[num] = slices.Contains(keys, key)
		}
		maps.DeleteFunc(t.have, func(_ int, has bool) bool { return !has })
	}
	return p
}

// anyOpen reports whether there is something to upload.
func (p *placer) anyOpen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.targets, func(t *target) bool { return len(t.open) > 0 })
}

// crypttext reads an open file's verified ciphertext, a whole segment at a
// time. Safe for concurrent use.
type crypttext struct {
	ctx context.Context
	f   *File
}

// ReadAt reads the segment that begins at off.
func (c *crypttext) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	err := c.f.Read(c.ctx, int(uint64(off)/c.f.Geometry().SegmentSize), 1, func(s Segment) error {
		n = copy(p, s.Data)
		return nil
	})
	if err == nil && n < len(p) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
