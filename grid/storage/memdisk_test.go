package storage_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"trunkline/grid/storage"
)

// memDisk is a file system in memory that remembers what was synced, fails at the step it is told to,
// and can lose its power. The model of a power cut is harsher than journalling file systems: every
// change since the last sync of its file or directory is kept, lost or (of a write) torn by itself, in
// whatever mixture.
type memDisk struct {
	mu    sync.Mutex
	root  *inode
	steps int // changes so far

	failAt  int   // the step that fails; 0 is none
	after   bool  // it fails after it was done
	dead    bool  // every later step fails, too: the power is gone
	cutAt   int   // every step from here on fails, too; 0 is none
	err     error // what a failing step says
	noLinks bool  // as exFAT has none
	free    int   // bytes that can be written; negative is unlimited
}

var errInjected = errors.New("injected fault")

type inode struct {
	dir bool

	// Of a file.
	data, synced []byte
	writes       []write // since the last sync

	// Of a directory.
	entries, durable map[string]*inode
	changes          []change // since the last sync
}

type write struct {
	off  int64
	data []byte // nil truncates to off
}

type change struct {
	name string
	to   *inode // nil removes
}

func newDir() *inode {
	return &inode{dir: true, entries: map[string]*inode{}, durable: map[string]*inode{}}
}

func newMemDisk() *memDisk { return &memDisk{root: newDir(), free: -1, err: errInjected} }

// step does one change, or fails as it was told to. The caller holds d.mu.
func (d *memDisk) step(do func() error) error {
	d.steps++
	hit := d.steps == d.failAt
	if hit && d.after {
		_ = do()
	}
	if hit || d.gone() {
		return d.err
	}
	return do()
}

// gone says whether the power is. The caller holds d.mu.
func (d *memDisk) gone() bool {
	return d.dead && d.failAt > 0 && d.steps > d.failAt || d.cutAt > 0 && d.steps >= d.cutAt
}

// dark says whether the power has gone.
func (d *memDisk) dark() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead && d.failAt > 0 && d.steps >= d.failAt || d.cutAt > 0 && d.steps >= d.cutAt
}

func (d *memDisk) find(name string) (*inode, error) {
	at := d.root
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		if part == "." {
			continue
		}
		if !at.dir {
			return nil, fs.ErrNotExist
		}
		next := at.entries[part]
		if next == nil {
			return nil, fs.ErrNotExist
		}
		at = next
	}
	return at, nil
}

// set changes one name of a directory.
func (d *memDisk) set(name string, to *inode) error {
	dir, err := d.find(path.Dir(name))
	if err != nil {
		return err
	}
	if to == nil {
		delete(dir.entries, path.Base(name))
	} else {
		dir.entries[path.Base(name)] = to
	}
	dir.changes = append(dir.changes, change{path.Base(name), to})
	return nil
}

func (d *memDisk) Mkdir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.find(name); err == nil {
		return nil
	}
	return d.step(func() error { return d.set(name, newDir()) })
}

func (d *memDisk) Create(name string) (storage.TestingOnlyFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.find(name); err == nil {
		return nil, fs.ErrExist
	}
	node := &inode{}
	if err := d.step(func() error { return d.set(name, node) }); err != nil {
		return nil, err
	}
	return &memFile{d, node}, nil
}

func (d *memDisk) Open(name string, _ bool) (storage.TestingOnlyFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return &memFile{d, node}, nil
}

func (d *memDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.step(func() error {
		node, err := d.find(from)
		if err != nil {
			return err
		}
		return errors.Join(d.set(from, nil), d.set(to, node))
	})
}

func (d *memDisk) Link(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noLinks {
		return errors.ErrUnsupported
	}
	if _, err := d.find(to); err == nil {
		return fs.ErrExist
	}
	return d.step(func() error {
		node, err := d.find(from)
		if err != nil {
			return err
		}
		return d.set(to, node)
	})
}

func (d *memDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, err := d.find(name)
	if err != nil {
		return err
	}
	if len(node.entries) > 0 {
		return syscall.ENOTEMPTY
	}
	return d.step(func() error { return d.set(name, nil) })
}

func (d *memDisk) List(name string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, err := d.find(name)
	if err != nil {
		return nil, nil
	}
	var names []string
	for name := range node.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (d *memDisk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.step(func() error {
		node, err := d.find(name)
		if err != nil {
			return err
		}
		node.durable, node.changes = make(map[string]*inode), nil
		for name, to := range node.entries {
			node.durable[name] = to
		}
		return nil
	})
}

func (d *memDisk) Free() (uint64, bool) { return 0, false }
func (d *memDisk) Close() error         { return nil }

type memFile struct {
	d    *memDisk
	node *inode
}

func (f *memFile) Close() error { return nil }

func (f *memFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n, full := len(p), false
	if f.d.free >= 0 && n > f.d.free {
		n, full = f.d.free, true
	}
	err := f.d.step(func() error {
		w := write{off, bytes.Clone(p[:n])}
		f.node.writes = append(f.node.writes, w)
		f.node.data = w.apply(f.node.data)
		if f.d.free >= 0 {
			f.d.free -= n
		}
		return nil
	})
	if err == nil && full {
		err = syscall.ENOSPC
	}
	return n, err
}

func (w write) apply(data []byte) []byte {
	if w.data == nil {
		return data[:min(w.off, int64(len(data)))]
	}
	if grow := w.off + int64(len(w.data)) - int64(len(data)); grow > 0 {
		data = append(bytes.Clone(data), make([]byte, grow)...)
	} else {
		data = bytes.Clone(data)
	}
	copy(data[w.off:], w.data)
	return data
}

func (f *memFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.step(func() error {
		w := write{off: size}
		f.node.writes = append(f.node.writes, w)
		f.node.data = w.apply(f.node.data)
		return nil
	})
}

func (f *memFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.step(func() error {
		f.node.synced, f.node.writes = f.node.data, nil
		return nil
	})
}

// crash is what a disk has after its power was cut.
func (d *memDisk) crash(rng *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newMemDisk()
	after.root = d.root.crash(rng, make(map[*inode]*inode))
	return after
}

// crash copies what survives of a node. A file with two names stays one file.
func (n *inode) crash(rng *rand.Rand, seen map[*inode]*inode) *inode {
	if c := seen[n]; c != nil {
		return c
	}
	c := &inode{dir: n.dir}
	seen[n] = c
	if !n.dir {
		c.data = n.synced
		for _, w := range n.writes {
			switch rng.IntN(3) {
			case 0: // lost
			case 1:
				c.data = w.apply(c.data)
			case 2:
				if w.data != nil {
					w.data = w.data[:rng.IntN(len(w.data)+1)]
					if len(w.data) == 0 {
						continue
					}
				}
				c.data = w.apply(c.data)
			}
		}
		c.synced = c.data
		return c
	}
	entries := make(map[string]*inode)
	for name, to := range n.durable {
		entries[name] = to
	}
	for _, ch := range n.changes {
		if rng.IntN(2) == 0 {
			continue
		}
		if ch.to == nil {
			delete(entries, ch.name)
		} else {
			entries[ch.name] = ch.to
		}
	}
	c.entries, c.durable = make(map[string]*inode), make(map[string]*inode)
	for name, to := range entries {
		c.entries[name] = to.crash(rng, seen)
		c.durable[name] = c.entries[name]
	}
	return c
}

// files lists every file by its path.
func (d *memDisk) files() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string][]byte)
	var walk func(n *inode, at string)
	walk = func(n *inode, at string) {
		for name, to := range n.entries {
			if to.dir {
				walk(to, path.Join(at, name))
			} else {
				all[path.Join(at, name)] = to.data
			}
		}
	}
	walk(d.root, "")
	return all
}

// plant puts a durable file there, as something that was there before.
func (d *memDisk) plant(name string, data []byte) {
	at := d.root
	dir, base := path.Split(name)
	for part := range strings.SplitSeq(path.Clean(dir), "/") {
		if at.entries[part] == nil {
			at.entries[part] = newDir()
			at.durable[part] = at.entries[part]
		}
		at = at.entries[part]
	}
	at.entries[base] = &inode{data: data, synced: data}
	at.durable[base] = at.entries[base]
}
