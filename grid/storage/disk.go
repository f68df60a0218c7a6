package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
)

// disk is what a Store needs of a file system. Names are slash-separated and relative to the storage
// directory. It is an interface so that tests can cut the power at each step.
type disk interface {
	// Mkdir makes one directory; one that exists is no error.
	Mkdir(name string) error
	// Create makes a file that must not exist.
	Create(name string) (file, error)
	// Open opens a file for reading, and for writing if write is set.
	Open(name string, write bool) (file, error)
	// Rename moves a file, in place of what has the new name.
	Rename(from, to string) error
	// Link gives a file a second name, which must be free; not every file system can.
	Link(from, to string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// List returns the names in a directory, none if there is no such directory or it is a file.
	List(name string) ([]string, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Free returns the bytes that can still be written, and false if that cannot be told.
	Free() (uint64, bool)
	Close() error
}

// file is one open file. ReadAt and WriteAt may be called concurrently.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// rootDisk is the disk of production: one directory, never left, whatever links stand in it.
type rootDisk struct {
	root   *os.Root
	noSync bool
}

func (d rootDisk) Mkdir(name string) error {
	if err := d.root.Mkdir(name, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (d rootDisk) Create(name string) (file, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d rootDisk) Open(name string, write bool) (file, error) {
	if write {
		return d.open(name, os.O_RDWR)
	}
	return d.open(name, os.O_RDONLY)
}

func (d rootDisk) open(name string, flag int) (file, error) {
	f, err := d.root.OpenFile(name, flag|openNonblock, fileMode)
	if err != nil {
		return nil, err
	}
	return &rootFile{File: f, noSync: d.noSync}, nil
}

func (d rootDisk) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d rootDisk) Link(from, to string) error { return d.root.Link(from, to) }

func (d rootDisk) Remove(name string) error { return d.root.Remove(name) }

func (d rootDisk) List(name string) ([]string, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.IsDir() {
		return nil, err
	}
	return f.Readdirnames(-1)
}

func (d rootDisk) SyncDir(name string) error {
	if d.noSync {
		return nil
	}
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d rootDisk) Free() (uint64, bool) {
	f, err := d.root.Open(".")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	return freeBytes(f)
}

func (d rootDisk) Close() error { return d.root.Close() }

// earlyWrite is how much is left to the system before the disk is asked to begin with it. Without, the disk
// idles while a share arrives and is all that is waited for in the end.
const earlyWrite = 4 << 20

type rootFile struct {
	*os.File
	noSync bool
	begun  atomic.Int64 // bytes since the disk was asked last
}

func (f *rootFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if !f.noSync && f.begun.Add(int64(n)) >= earlyWrite {
		f.begun.Store(0)
		beginWriting(f.File)
	}
	return n, err
}

func (f *rootFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !fi.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: %w: not a regular file", fi.Name(), ErrDamaged)
	}
	return fi.Size(), nil
}

func (f *rootFile) Sync() error {
	if f.noSync {
		return nil
	}
	return f.File.Sync()
}
