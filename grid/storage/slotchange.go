package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"trunkline/caps"
)

// slotChange is a test-and-write whose bytes are arriving. They are put where they belong in the file that will be the
// share's next version, so nothing is held in memory and nothing moved; the slot is locked only when everything is
// there. One goroutine uses it. It ends with commit or drop.
type slotChange struct {
	store         *Store
	si            caps.StorageIndex
	enabler       caps.Secret
	renew, cancel caps.Secret
	reads         []Range
	shares        []*shareChange
	promised      uint64
}

// shareChange is what happens to one share.
type shareChange struct {
	ShareChange        // Writes stays empty
	name        string // of the file under incoming, "" before there is one
	file        file
	written     spans
	writes      int
	last        uint64 // where the last write ended
	end         uint64 // where the furthest write ends
	kept        bool   // the file stays: a record speaks of it
}

// TestWrite changes the mutable shares of a storage index if every test holds: all of it happens, or nothing, and it is
// durable when TestWrite returns. A power cut leaves all shares as they were or all as they should be. New shares get
// the enabler; those that exist must have it. The lease with t's renew secret is renewed or added on the shares that
// were mentioned and remain. t is not kept.
//
// Safe for concurrent use. Errors: ErrEnabler, ErrImmutable, ErrInvalid, ErrConflict (something else stands in a share's
// place), ErrNoSpace, ErrReadOnly, ErrTooMany, ErrFailed; anything else is the disk's. After ErrFailed and errors of the
// disk it may have happened or not, but never in part once the store was opened again.
//
// Source: tahoe-formats 5.3.
func (s *Store) TestWrite(si caps.StorageIndex, t TestWrite) (TestWriteResult, error) {
	if err := t.Validate(); err != nil {
		return TestWriteResult{}, err
	}
	ch, err := s.changeSlot(si, t.Enabler, t.Renew, t.Cancel, t.Reads)
	if err != nil {
		return TestWriteResult{}, err
	}
	defer ch.drop()
	for _, c := range t.Shares {
		if err := ch.mention(c); err != nil {
			return TestWriteResult{}, err
		}
		for _, w := range c.Writes {
			if err := ch.write(c.Num, w.Offset, w.Data); err != nil {
				return TestWriteResult{}, err
			}
		}
	}
	return ch.commit()
}

// changeSlot begins a test-and-write.
func (s *Store) changeSlot(si caps.StorageIndex, enabler, renew, cancel caps.Secret, reads []Range) (*slotChange, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	if len(reads) > MaxSlotTests {
		return nil, fmt.Errorf("%w: %d ranges", ErrInvalid, len(reads))
	}
	if err := checkSlotRanges(reads); err != nil {
		return nil, err
	}
	return &slotChange{store: s, si: si, enabler: enabler, renew: renew, cancel: cancel, reads: reads}, nil
}

// mention enters a share, without its writes.
func (ch *slotChange) mention(c ShareChange) error {
	if err := c.validate(); err != nil {
		return err
	}
	if ch.find(c.Num) != nil {
		return fmt.Errorf("%w: share number %d twice", ErrInvalid, c.Num)
	}
	c.Writes = nil
	ch.shares = append(ch.shares, &shareChange{ShareChange: c})
	return nil
}

func (ch *slotChange) find(num int) *shareChange {
	for _, sh := range ch.shares {
		if sh.Num == num {
			return sh
		}
	}
	return nil
}

// write puts bytes of a share that was mentioned where they will be.
func (ch *slotChange) write(num int, off uint64, p []byte) error {
	sh := ch.find(num)
	if sh == nil {
		return fmt.Errorf("%w: share %d was not mentioned", ErrInvalid, num)
	}
	if err := checkSlotWrite(off, uint64(len(p))); err != nil {
		return err
	}
	if sh.writes == 0 || off != sh.last {
		sh.writes++
	}
	if sh.writes > MaxSlotWrites {
		return fmt.Errorf("%w: more than %d writes to a share", ErrInvalid, MaxSlotWrites)
	}
	end := off + uint64(len(p))
	sh.last = end
	if sh.remove() {
		return nil // nobody will see it
	}
	if sh.file == nil {
		if err := ch.create(sh); err != nil {
			return err
		}
	}
	if end > sh.end {
		if err := ch.promise(end - sh.end); err != nil {
			return err
		}
		sh.end = end
	}
	if len(p) == 0 {
		return nil
	}
	sh.written.add(off, end)
	if _, err := sh.file.WriteAt(p, slotHeaderSize+int64(off)); err != nil { //nolint:gosec // below MaxShareBytes
		return diskError("writing the share", err)
	}
	return nil
}

// remove says whether the share goes.
func (sh *shareChange) remove() bool { return sh.Truncate && sh.Length == 0 }

// create makes the file of a share's next version.
func (ch *slotChange) create(sh *shareChange) error {
	s := ch.store
	s.mu.Lock()
	full := s.staged >= MaxUploads
	if !full {
		s.staged++
		s.created++
		sh.name = shareID{ch.si, sh.Num}.incoming(s.created)
	}
	s.mu.Unlock()
	if full {
		return fmt.Errorf("%w: %d mutable shares are being written", ErrTooMany, MaxUploads)
	}
	f, err := s.disk.Create(sh.name)
	if err != nil {
		return diskError("starting the change", err)
	}
	sh.file = f
	return ch.promise(slotHeaderSize + extraCountSize + slotLeaseSize)
}

// promise finds room for n more bytes.
func (ch *slotChange) promise(n uint64) error {
	s := ch.store
	free, known := s.disk.Free()
	s.mu.Lock()
	defer s.mu.Unlock()
	if known && !fits(n, free, s.cfg.ReservedBytes, s.pending) {
		return ErrNoSpace
	}
	if s.cfg.MaxBytes > 0 && !fits(n, s.cfg.MaxBytes, s.used, s.promised) {
		return ErrNoSpace
	}
	s.promised += n
	ch.promised += n
	return nil
}

// drop ends the change and removes what it left under incoming. It does nothing after commit or drop.
func (ch *slotChange) drop() {
	s := ch.store
	files := 0
	for _, sh := range ch.shares {
		if sh.name == "" {
			continue
		}
		files++
		if sh.file != nil {
			_ = sh.file.Close() // synced, or not wanted any more
		}
		if !sh.kept {
			if err := s.disk.Remove(sh.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("an abandoned change could not be removed, it will be at the next start", "error", err)
			}
		}
		sh.name, sh.file = "", nil
	}
	s.mu.Lock()
	s.staged -= files
	s.promised -= ch.promised
	s.mu.Unlock()
	ch.promised = 0
}

// commit tests and, if all tests hold, writes.
func (ch *slotChange) commit() (TestWriteResult, error) {
	defer ch.drop()
	s := ch.store
	if len(ch.shares) == 0 {
		return TestWriteResult{}, fmt.Errorf("%w: a change of no share", ErrInvalid)
	}
	defer s.slots.lock(ch.si)()
	if err := s.writable(); err != nil {
		return TestWriteResult{}, err
	}
	old, err := s.openSlot(ch.si, nil)
	if err != nil {
		return TestWriteResult{}, err
	}
	defer old.close()
	result, err := ch.test(old)
	if err != nil || !result.Applied {
		return result, err
	}
	if err := ch.apply(old); err != nil {
		return TestWriteResult{}, err
	}
	return result, nil
}

// test checks the enabler, then the tests, and reads.
func (ch *slotChange) test(old *openShares) (TestWriteResult, error) {
	for _, sh := range old.shares {
		if !sh.c.enabler.Equal(ch.enabler) {
			return TestWriteResult{}, fmt.Errorf("share %d: %w", sh.num, ErrEnabler)
		}
	}
	if err := old.check(ch.reads, MaxSlotReadBack); err != nil {
		return TestWriteResult{}, err
	}
	result := TestWriteResult{Applied: true}
	for _, c := range ch.shares {
		if old.alien[c.Num] {
			return TestWriteResult{}, fmt.Errorf("%w: share %d is not a mutable share", ErrConflict, c.Num)
		}
		holds, err := c.holds(old.find(c.Num))
		if err != nil {
			return TestWriteResult{}, err
		}
		result.Applied = result.Applied && holds
	}
	var err error
	result.Read, err = old.readAll(ch.reads)
	return result, err
}

// holds says whether the tests of one share do; old is nil if it is not there.
func (sh *shareChange) holds(old *slotShare) (bool, error) {
	for _, t := range sh.Tests {
		at := Range{t.Offset, t.Size}
		if old == nil {
			at = at.Cut(0)
		} else {
			at = at.Cut(old.c.data)
		}
		if at.Length != uint64(len(t.Specimen)) {
			return false, nil
		}
		if at.Length == 0 {
			continue
		}
		b := make([]byte, at.Length)
		if err := old.readAt(b, at.Offset); err != nil {
			return false, err
		}
		if !bytes.Equal(b, t.Specimen) {
			return false, nil
		}
	}
	return true, nil
}

// apply makes the next version of each share and puts them all in place.
func (ch *slotChange) apply(old *openShares) error {
	s := ch.store
	var p placing
	for _, sh := range ch.shares {
		was := old.find(sh.Num)
		if was == nil && (sh.remove() || sh.writes == 0) {
			continue // nothing to do to a share that is not there
		}
		if sh.remove() {
			p.removed = append(p.removed, sh.Num)
			p.shrunk += was.size
			continue
		}
		length := sh.length(was)
		if sh.writes == 0 && length == was.c.data {
			if err := s.renewSlotLease(shareID{ch.si, sh.Num}, ch.renew, ch.cancel); err != nil && !errors.Is(err, ErrTooMany) {
				return err
			}
			continue
		}
		size, err := ch.complete(sh, was, length)
		if err != nil {
			return err
		}
		p.replaced = append(p.replaced, sh)
		p.grown += size
		if was != nil {
			p.shrunk += was.size
		}
	}
	if len(p.replaced)+len(p.removed) == 0 {
		return nil
	}
	p.fresh = !old.bucket
	if err := s.place(ch.si, &p); err != nil {
		return err
	}
	s.account(p.grown, p.shrunk)
	return nil
}

// length is the share's afterwards.
func (sh *shareChange) length(was *slotShare) uint64 {
	length := sh.end
	if was != nil {
		length = max(length, was.c.data)
	}
	if sh.Truncate {
		length = min(length, sh.Length)
	}
	return length
}

// complete fills the share's new file with what stays of the old one, with its header and its leases, and says how
// large it is.
func (ch *slotChange) complete(sh *shareChange, was *slotShare, length uint64) (size uint64, err error) {
	if sh.file == nil {
		if err := ch.create(sh); err != nil {
			return 0, err
		}
	}
	c := slotContainer{version: containerV2, nodeID: ch.store.cfg.NodeID, enabler: ch.enabler}
	if was != nil {
		if err := ch.keep(sh, was, length); err != nil {
			return 0, err
		}
		c = was.c
	}
	c.data = length
	if _, _, err := c.leases.renew(ch.store.slotLease(c, ch.renew, ch.cancel)); err != nil && !errors.Is(err, ErrTooMany) {
		return 0, err
	}
	end := slotHeaderSize + int64(length) //nolint:gosec // below MaxShareBytes
	if sh.end > length {
		if err := sh.file.Truncate(end); err != nil {
			return 0, diskError("cutting the share", err)
		}
	}
	trailer := c.trailer()
	if _, err := sh.file.WriteAt(trailer, end); err != nil {
		return 0, diskError("writing the leases", err)
	}
	if _, err := sh.file.WriteAt(c.header(), 0); err != nil {
		return 0, diskError("writing the header", err)
	}
	return slotHeaderSize + length + uint64(len(trailer)), nil
}

// keep copies what was not written anew.
func (ch *slotChange) keep(sh *shareChange, was *slotShare, length uint64) error {
	left := uint64(0)
	kept := min(length, was.c.data)
	if kept > sh.end {
		if err := ch.promise(kept - sh.end); err != nil {
			return err
		}
	}
	for _, w := range append(sh.written.overlap(0, kept), span{kept, kept}) {
		if err := copyRange(sh.file, was.file, slotHeaderSize+left, w.begin-left); err != nil {
			return diskError("copying the share", err)
		}
		left = w.end
	}
	return nil
}
