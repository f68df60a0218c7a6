package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"

	"trunkline/caps"
)

// placing is what a change does to the files of one bucket. The new versions stand complete under incoming.
//
// One file is put in place by renaming it over the old one, which happens or not. Of several, some might be in place when
// the power goes; so what is to be done is written down first, in a record under incoming, and whoever opens the store
// again finishes it. From the moment the record is durable the change has happened.
type placing struct {
	replaced      []*shareChange
	removed       []int
	fresh         bool // the bucket may not be there
	grown, shrunk uint64
}

// place makes the change durable. The caller holds the slot's lock.
func (s *Store) place(si caps.StorageIndex, p *placing) error {
	if err := s.syncChanges(p.replaced); err != nil {
		return err
	}
	var err error
	if len(p.replaced)+len(p.removed) == 1 {
		err = s.placeOne(si, p)
	} else {
		err = s.placeAll(si, p)
	}
	if len(p.removed) > 0 {
		s.prune(si)
	}
	return err
}

// syncChanges makes the bytes of the new files durable.
func (s *Store) syncChanges(changes []*shareChange) error {
	err := atOnce(len(changes), func(i int) error { return changes[i].file.Sync() })
	if err != nil {
		s.fail(err)
		return diskError("syncing the share", err)
	}
	return nil
}

func (s *Store) placeOne(si caps.StorageIndex, p *placing) error {
	bucket := bucketDir(sharesDir, si)
	err := s.inBucket(bucket, p.fresh, func() error {
		for _, num := range p.removed {
			return s.disk.Remove(shareID{si, num}.path())
		}
		sh := p.replaced[0]
		return s.disk.Rename(sh.name, shareID{si, sh.Num}.path())
	})
	if err != nil {
		if p.fresh {
			s.prune(si)
		}
		return diskError("placing the share", err)
	}
	return s.syncBucket(si)
}

// inBucket does what puts shares in a bucket or takes them out.
func (s *Store) inBucket(bucket string, fresh bool, do func() error) error {
	s.tree.Lock()
	defer s.tree.Unlock()
	if fresh {
		if err := errors.Join(s.disk.Mkdir(path.Dir(bucket)), s.disk.Mkdir(bucket)); err != nil {
			return err
		}
		// An upload that was committed a moment ago makes it a bucket of immutable shares.
		switch mutable, err := s.holdsMutable(bucket); {
		case err != nil:
			return err
		case mutable != nil && !*mutable:
			return ErrImmutable
		}
	}
	return do()
}

// holdsMutable says of which sort the shares in a bucket are; nil if there are none.
func (s *Store) holdsMutable(bucket string) (*bool, error) {
	names, err := s.disk.List(bucket)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, ok := shareNumber(name); !ok {
			continue
		}
		f, err := s.disk.Open(path.Join(bucket, name), false)
		if err != nil {
			return nil, err
		}
		_, err = readContainer(f)
		_ = f.Close()
		switch mutable := errors.Is(err, ErrMutable); {
		case err == nil, mutable:
			return &mutable, nil
		case !errors.Is(err, ErrDamaged):
			return nil, err
		}
	}
	return nil, nil //nolint:nilnil // neither
}

// maxSettled bounds the slots whose directories are known to be durable; then knowing begins anew.
const maxSettled = 1 << 16

// syncBucket makes the names in a bucket durable. Its own name, and that of the directory it is in, need that once:
// whoever made them may have been killed before.
func (s *Store) syncBucket(si caps.StorageIndex) error {
	bucket := bucketDir(sharesDir, si)
	dirs := []string{bucket}
	s.mu.Lock()
	settled := s.settled[si]
	s.mu.Unlock()
	if !settled {
		dirs = append(dirs, path.Dir(bucket), sharesDir)
	}
	err := atOnce(len(dirs), func(i int) error { return s.disk.SyncDir(dirs[i]) })
	if err != nil {
		s.fail(err)
		return diskError("syncing the share's directory", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.settled) >= maxSettled {
		clear(s.settled)
	}
	s.settled[si] = true
	return nil
}

// atOnce does n things at the same time and waits for them: the disk then writes for all of them once.
func atOnce(n int, do func(i int) error) error {
	if n == 1 {
		return do(0)
	}
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = do(i) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// placeAll does several things that belong together.
func (s *Store) placeAll(si caps.StorageIndex, p *placing) error {
	r := changeRecord{si: si, removed: p.removed}
	for _, sh := range p.replaced {
		r.replaced = append(r.replaced, replacement{sh.Num, path.Base(sh.name)})
	}
	s.mu.Lock()
	s.created++
	name := fmt.Sprintf("%s/%s.%d%s", incomingDir, si, s.created, recordSuffix)
	s.mu.Unlock()
	if err := s.writeRecord(name, r); err != nil {
		return err
	}
	// It has happened. Whatever goes wrong from here on is finished when the store is opened again, and until then
	// nothing may be written that it would undo.
	err := s.finish(r, p.fresh)
	if err == nil {
		if err = s.disk.Remove(name); err == nil {
			for _, sh := range p.replaced {
				err = errors.Join(err, s.disk.Remove(sh.name))
			}
		}
		if err == nil {
			err = s.disk.SyncDir(incomingDir)
		}
	}
	if err != nil {
		for _, sh := range p.replaced {
			sh.kept = true
		}
		s.fail(err)
		return diskError("placing the shares", err)
	}
	return nil
}

// writeRecord makes the record durable, and the names of the files that it speaks of. After an error there is none, or
// the store has failed.
func (s *Store) writeRecord(name string, r changeRecord) error {
	f, err := s.disk.Create(name)
	if err != nil {
		return diskError("recording the change", errors.Join(err, s.dropRecord(name)))
	}
	_, err = f.WriteAt(r.encode(), 0)
	synced := false
	if err == nil {
		synced = true
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		if err = s.disk.SyncDir(incomingDir); err == nil {
			return nil
		}
	}
	if synced {
		s.fail(err)
	}
	return diskError("recording the change", errors.Join(err, s.dropRecord(name)))
}

// dropRecord takes back a record of a change that did not happen.
func (s *Store) dropRecord(name string) error {
	err := s.disk.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.disk.SyncDir(incomingDir)
	}
	if err != nil {
		s.fail(err)
	}
	return err
}

// finish does what a record says. The files under incoming stay until all of it is durable, so that it can be done
// again.
func (s *Store) finish(r changeRecord, fresh bool) error {
	bucket := bucketDir(sharesDir, r.si)
	var copies []string
	for _, e := range r.replaced {
		from := path.Join(incomingDir, e.name)
		to := from + copySuffix
		if err := s.duplicate(from, to); err != nil {
			return err
		}
		copies = append(copies, to)
	}
	err := s.inBucket(bucket, fresh, func() error {
		for i, e := range r.replaced {
			if err := s.disk.Rename(copies[i], shareID{r.si, e.num}.path()); err != nil {
				return err
			}
		}
		for _, num := range r.removed {
			if err := s.disk.Remove(shareID{r.si, num}.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.syncBucket(r.si)
}

// duplicate gives a file a second name, or where that cannot be, copies it.
func (s *Store) duplicate(from, to string) error {
	if err := s.disk.Link(from, to); err == nil {
		return nil
	}
	if err := s.disk.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	src, err := s.disk.Open(from, false)
	if err != nil {
		return err
	}
	defer src.Close()
	size, err := src.Size()
	if err != nil {
		return err
	}
	dst, err := s.disk.Create(to)
	if err != nil {
		return err
	}
	err = copyRange(dst, src, 0, uint64(size)) //nolint:gosec // not negative
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}
