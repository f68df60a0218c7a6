// Package treetest keeps files in memory, for tests of what stands on a tree.
package treetest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"trunkline/caps"
	"trunkline/grid/transfer"
)

// Errors that a Memory gives where a client has its own.
var (
	// ErrFar says that a file belongs to another grid.
	ErrFar = errors.New("the file belongs to another grid, where only its members write")
	// ErrNotReadable says that a cap does not open a file's contents.
	ErrNotReadable = errors.New("the cap does not open the contents")
	// ErrReadOnly says that a cap does not change a file.
	ErrReadOnly = errors.New("the cap cannot change the file")
)

// World is a number of grids whose members reach each other's files.
type World struct {
	mu      sync.Mutex
	grids   map[caps.AreaCode]map[caps.StorageIndex]*object
	keys    uint64
	fail    func(op string, c caps.Cap) error
	counted map[string]int
}

// object is one stored file. Its shares are ten, one on each server.
type object struct {
	contents []byte
	version  uint64
	lost     map[int]bool
}

// NewWorld makes a world without files.
func NewWorld() *World {
	return &World{grids: map[caps.AreaCode]map[caps.StorageIndex]*object{}, counted: map[string]int{}}
}

// Fail has fn asked before every operation, which fails with what it returns. op is the method's name, and "commit" right
// before a Modify writes what it made: what fn does then comes in between. nil ends that.
func (w *World) Fail(fn func(op string, c caps.Cap) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fn
}

// Count is how often an operation was begun.
func (w *World) Count(op string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counted[op]
}

// Stored is how many files there are in all grids, directories' among them; literal ones are nowhere.
func (w *World) Stored() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, objects := range w.grids {
		n += len(objects)
	}
	return n
}

// Member is what a member of the grid with that area sees of the world; the zero area is a stranger's, who belongs to no
// grid, and in whose name files may be stored nevertheless.
func (w *World) Member(home caps.AreaCode) *Memory { return &Memory{w, home} }

// Memory is the tree.Files of one member. Safe for concurrent use.
type Memory struct {
	world *World
	home  caps.AreaCode
}

// NewMemory is a world's only member, of a grid with a made-up area.
func NewMemory() *Memory { return NewWorld().Member(Area(1)) }

// World is the world that the member lives in.
func (m *Memory) World() *World { return m.world }

// Home is the member's grid.
func (m *Memory) Home() caps.AreaCode { return m.home }

func (m *Memory) begin(ctx context.Context, op string, c caps.Cap) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.world.mu.Lock()
	m.world.counted[op]++
	fail := m.world.fail
	m.world.mu.Unlock()
	if fail != nil {
		return fail(op, c)
	}
	return nil
}

// find looks where the cap says. The world is locked.
func (m *Memory) find(c caps.Cap) (*object, error) {
	si, ok := c.StorageIndex()
	if !ok {
		return nil, ErrNotReadable
	}
	areas := c.Areas()
	if len(areas) == 0 {
		areas = []caps.AreaCode{m.home}
	}
	for _, a := range areas {
		if o := m.world.grids[a][si]; o != nil {
			if good := shares - len(o.lost); good < needed {
				return nil, &transfer.NotEnoughSharesError{Found: good, Need: needed, Asked: shares}
			}
			return o, nil
		}
	}
	return nil, &transfer.NotEnoughSharesError{Need: needed, Asked: shares}
}

// Read is one of the methods of tree.Files, as are the following.
func (m *Memory) Read(ctx context.Context, c caps.Cap, begin func(size uint64) (offset, length uint64, w io.Writer, err error)) error {
	if err := m.begin(ctx, "Read", c); err != nil {
		return err
	}
	contents, ok := c.Literal()
	if !ok {
		if !c.Kind().CanRead() {
			return ErrNotReadable
		}
		m.world.mu.Lock()
		o, err := m.find(c)
		if err == nil {
			contents = o.contents // replaced, never written to
		}
		m.world.mu.Unlock()
		if err != nil {
			return err
		}
	}
	size := uint64(len(contents))
	offset, length, w, err := begin(size)
	if err != nil || length == 0 {
		return err
	}
	if offset > size || length > size-offset {
		return fmt.Errorf("a range of %d bytes from %d is outside of %d bytes", length, offset, size)
	}
	_, err = w.Write(bytes.Clone(contents[offset : offset+length]))
	return err
}

func (m *Memory) store(c caps.Cap, contents []byte) error {
	si, ok := c.StorageIndex()
	if !ok {
		return ErrNotReadable
	}
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	if m.world.grids[m.home] == nil {
		m.world.grids[m.home] = map[caps.StorageIndex]*object{}
	}
	m.world.grids[m.home][si] = &object{contents: contents, version: 1, lost: map[int]bool{}}
	return nil
}

func readAll(src io.ReaderAt, size uint64) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(src, 0, int64(size)))
}

// PutImmutable gives the same contents the same cap.
func (m *Memory) PutImmutable(ctx context.Context, src io.ReaderAt, size uint64) (caps.Cap, error) {
	if err := m.begin(ctx, "PutImmutable", caps.Cap{}); err != nil {
		return caps.Cap{}, err
	}
	contents, err := readAll(src, size)
	if err != nil {
		return caps.Cap{}, err
	}
	if size <= caps.LiteralMax {
		return caps.NewLiteral(contents)
	}
	digest := sha256.Sum256(contents)
	read, err := caps.NewCHKRead(caps.NewReadKey([16]byte(digest[:16])), caps.CrypttextHash(contents), needed, shares, size)
	if err != nil {
		return caps.Cap{}, err
	}
	return read.Cap(), m.store(read.Cap(), contents)
}

// CreateMutable makes up the write key if none is given, without generating an RSA key.
func (m *Memory) CreateMutable(ctx context.Context, kind caps.Kind, privateKey []byte, contents func(caps.WriteKey) (io.ReaderAt, uint64, error)) (caps.Cap, error) {
	if err := m.begin(ctx, "CreateMutable", caps.Cap{}); err != nil {
		return caps.Cap{}, err
	}
	var key caps.WriteKey
	var print caps.Hash
	if privateKey != nil {
		der, err := publicDER(privateKey)
		if err != nil {
			return caps.Cap{}, err
		}
		key, print = caps.WriteKeyOf(privateKey), caps.Fingerprint(der)
	} else {
		m.world.mu.Lock()
		m.world.keys++
		seed := binary.BigEndian.AppendUint64([]byte("treetest"), m.world.keys)
		m.world.mu.Unlock()
		digest := sha256.Sum256(seed)
		key, print = caps.NewWriteKey([16]byte(digest[:16])), caps.Fingerprint(seed)
	}
	c, err := caps.NewMutable(kind, key, print)
	if err != nil {
		return caps.Cap{}, err
	}
	src, size, err := contents(key)
	if err != nil {
		return caps.Cap{}, err
	}
	stored, err := readAll(src, size)
	if err != nil {
		return caps.Cap{}, err
	}
	return c, m.store(c, stored)
}

func publicDER(privateKey []byte) ([]byte, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(privateKey)
	if err != nil {
		return nil, err
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a private key")
	}
	return x509.MarshalPKIXPublicKey(signer.Public())
}

// writable checks that the member may change the file.
func (m *Memory) writable(c caps.Cap) error {
	if !c.Kind().CanWrite() {
		return ErrReadOnly
	}
	if !m.athome(c) {
		return ErrFar
	}
	return nil
}

// athome says whether a file is of the member's grid.
func (m *Memory) athome(c caps.Cap) bool {
	return !c.IsLongDistance() || slices.Contains(c.Areas(), m.home)
}

// Overwrite is one of the methods of tree.Files.
func (m *Memory) Overwrite(ctx context.Context, write caps.Cap, src io.ReaderAt, size uint64) error {
	contents, err := readAll(src, size)
	if err != nil {
		return err
	}
	return m.modify(ctx, "Overwrite", write, func([]byte) ([]byte, error) { return contents, nil })
}

// WriteAt is one of the methods of tree.Files.
func (m *Memory) WriteAt(ctx context.Context, write caps.Cap, src io.ReaderAt, offset, size uint64) error {
	part, err := readAll(src, size)
	if err != nil {
		return err
	}
	return m.modify(ctx, "WriteAt", write, func(old []byte) ([]byte, error) {
		fresh := make([]byte, max(uint64(len(old)), offset+size))
		copy(fresh, old)
		copy(fresh[offset:], part)
		return fresh, nil
	})
}

// Modify is one of the methods of tree.Files.
func (m *Memory) Modify(ctx context.Context, write caps.Cap, fn func(old []byte) ([]byte, error)) error {
	return m.modify(ctx, "Modify", write, fn)
}

func (m *Memory) modify(ctx context.Context, op string, write caps.Cap, fn func(old []byte) ([]byte, error)) error {
	if err := m.writable(write); err != nil {
		return err
	}
	if err := m.begin(ctx, op, write); err != nil {
		return err
	}
	local := write.Local()
	for {
		m.world.mu.Lock()
		o, err := m.find(local)
		if err != nil {
			m.world.mu.Unlock()
			return err
		}
		old, version := o.contents, o.version
		m.world.mu.Unlock()

		fresh, err := fn(bytes.Clone(old))
		if err != nil {
			return err
		}
		if err := m.begin(ctx, "commit", write); err != nil {
			return err
		}
		m.world.mu.Lock()
		if o.version == version {
			o.contents, o.version = bytes.Clone(fresh), version+1
			m.world.mu.Unlock()
			return nil
		}
		m.world.mu.Unlock()
	}
}
