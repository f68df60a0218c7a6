// Package gridtest is a grid of storage servers in memory, for tests of what
// speaks to one: each server can be full, slow, silent, dead, or a liar.
package gridtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"filippo.io/edwards25519"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// What servers with faults answer.
var (
	// ErrDown is the usual error of a server that refuses.
	ErrDown = errors.New("server is down")
	// ErrLost is the usual error of a call that was done and reported failed.
	ErrLost = errors.New("the answer was lost")
)

// Faults is what is wrong with a server. The zero value is an honest, fast
// one.
type Faults struct {
	// Down fails every call with this error at once.
	Down error
	// DownFor fails the named calls only: "Shares", "Read", "Allocate",
	// "Write", "Commit", "Abort", "AddLease", "Advise", "ReadSlot", "TestWrite".
	DownFor map[string]error
	// Hang lets every call wait until its context ends or the faults change.
	Hang bool
	// HangFor lets the named calls wait.
	HangFor map[string]bool
	// DieAfter makes the server fail with ErrDown once it has moved so many
	// bytes since the faults were set. 0: never.
	DieAfter int64
	// HangAfter is the like for hanging.
	HangAfter int64
	// Latency is added to every call.
	Latency time.Duration
	// Rate limits reads and writes together, in bytes per second. 0: none.
	Rate int64
	// Lie edits what Read, ReadSlot and TestWrite return: data is the server's
	// answer for the bytes of share num from offset on.
	Lie func(si caps.StorageIndex, num int, offset uint64, data []byte)
	// Claim adds to what Shares answers.
	Claim []storage.ShareInfo
	// Serve answers reads of the key with the share of the value, mutable ones
	// too.
	Serve map[int]int
	// Stale has ReadSlot answer with what was there when the faults were set.
	Stale bool
	// Blind has ReadSlot answer that there are no shares.
	Blind bool
	// TestWriteLost does the test-and-write and then reports this error.
	TestWriteLost error
	// TestWriteSilent does the test-and-write and then waits until the context
	// ends or the faults change.
	TestWriteSilent bool
	// TestWriteDropped says that the test-and-write was applied, and forgets it.
	TestWriteDropped bool
	// ReadOnly refuses every allocation and every test-and-write.
	ReadOnly bool
	// Scribble has a read whose context ended write into its memory until so
	// long afterwards, when it returns. That is allowed.
	Scribble time.Duration
	// CommitLost completes the commit and then reports this error.
	CommitLost error
}

// Counts is what a server has done since it was made.
type Counts struct {
	Asked, Reads, Allocates, Writes, Commits, Aborts, Leases, Advised int
	SlotReads, TestWrites, Applied                                    int
	Refused                                                           int // calls that failed with one of the faults' errors
	BytesRead, BytesWritten                                           int64
}

// Server is one storage server. It implements transfer.Server and is safe for
// concurrent use.
type Server struct {
	key  caps.PublicKey
	seed [20]byte

	mu       sync.Mutex
	faults   Faults
	changed  chan struct{} // closed when faults change
	moved    int64         // bytes since faults were set
	free     time.Time     // when the link is idle again
	capacity int64         // negative: no limit
	used     int64
	shares   map[caps.StorageIndex]map[int][]byte
	slots    map[caps.StorageIndex]*slot
	stale    map[caps.StorageIndex]*slot // as they were when faults were set
	uploads  map[upload]*incoming
	counts   Counts
}

type upload struct {
	si  caps.StorageIndex
	num int
}

type incoming struct {
	data    []byte
	written int
}

// New makes n honest servers whose keys depend on their index only.
func New(n int) []*Server {
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = NewServer(i)
	}
	return servers
}

// NewServer makes the server number i: its key and seed follow from i.
func NewServer(i int) *Server {
	s := &Server{
		changed:  make(chan struct{}),
		capacity: -1,
		shares:   make(map[caps.StorageIndex]map[int][]byte),
		slots:    make(map[caps.StorageIndex]*slot),
		uploads:  make(map[upload]*incoming),
	}
	s.key = keyOf(i)
	copy(s.seed[:], s.key[:])
	return s
}

// keyOf makes a valid public key: i+1 times the base point. Nobody signs with
// it.
func keyOf(i int) caps.PublicKey {
	var wide [32]byte
	binary.LittleEndian.PutUint64(wide[:], uint64(i)+1)
	scalar, err := edwards25519.NewScalar().SetCanonicalBytes(wide[:])
	if err != nil {
		panic(err) // a number below 2^64 is canonical
	}
	key, err := caps.ParsePublicKey(edwards25519.NewIdentityPoint().ScalarBaseMult(scalar).Bytes())
	if err != nil {
		panic(err) // as is a small multiple of the base point
	}
	return key
}

// Set replaces the server's faults. Calls that hang wake up and go on as the
// new ones say.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
	s.moved = 0
	s.stale = nil
	if f.Stale {
		s.stale = cloneSlots(s.slots)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// SetCapacity bounds the bytes the server stores.
func (s *Server) SetCapacity(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capacity = n
}

// Counts returns what the server has done so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Put stores a complete share. The server keeps data.
func (s *Server) Put(si caps.StorageIndex, num int, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(si, num, data)
}

func (s *Server) put(si caps.StorageIndex, num int, data []byte) {
	if s.shares[si] == nil {
		s.shares[si] = make(map[int][]byte)
	}
	s.shares[si][num] = data
}

// Share returns a complete share, or nil. It is the server's own memory.
func (s *Server) Share(si caps.StorageIndex, num int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shares[si][num]
}

// Held lists the shares the server has of si, ascending, whatever it says.
func (s *Server) Held(si caps.StorageIndex) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedKeys(s.shares[si])
}

// Remove drops a share.
func (s *Server) Remove(si caps.StorageIndex, num int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.shares[si], num)
}

// Open is the number of uploads that were neither committed nor aborted.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// Key implements transfer.Server.
func (s *Server) Key() caps.PublicKey { return s.key }

// PeerID20 implements transfer.Server.
func (s *Server) PeerID20() [20]byte { return s.seed }

// PermutationSeed implements transfer.Server.
func (s *Server) PermutationSeed() []byte { return s.seed[:] }

// Shares implements transfer.Server.
func (s *Server) Shares(ctx context.Context, si caps.StorageIndex) ([]storage.ShareInfo, error) {
	if err := s.enter(ctx, "Shares", 0); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Asked++
	if s.slots[si] != nil {
		return nil, storage.ErrMutable
	}
	infos := make([]storage.ShareInfo, 0, len(s.shares[si])+len(s.faults.Claim))
	for _, num := range sortedKeys(s.shares[si]) {
		infos = append(infos, storage.ShareInfo{Num: num, Size: uint64(len(s.shares[si][num]))})
	}
	return append(infos, s.faults.Claim...), nil
}

// Read implements transfer.Server.
func (s *Server) Read(ctx context.Context, si caps.StorageIndex, num int, ranges []storage.Range, dst [][]byte) error {
	total := 0
	for _, d := range dst {
		total += len(d)
	}
	if err := s.enter(ctx, "Read", total); err != nil {
		s.scribble(ctx, dst)
		return err
	}
	s.mu.Lock()
	s.counts.Reads++
	s.counts.BytesRead += int64(total)
	served := num
	if other, ok := s.faults.Serve[num]; ok {
		served = other
	}
	data, lie := s.shares[si][served], s.faults.Lie
	s.mu.Unlock()
	if data == nil && s.hasSlot(si) {
		return fmt.Errorf("share %d: %w", num, storage.ErrMutable)
	}
	if data == nil {
		return fmt.Errorf("share %d: %w", num, storage.ErrNotFound)
	}
	for i, r := range ranges {
		if r.Length != uint64(len(dst[i])) || r.Offset > uint64(len(data)) || r.Length > uint64(len(data))-r.Offset {
			return fmt.Errorf("share %d: %w", num, storage.ErrRange)
		}
		copy(dst[i], data[r.Offset:])
		if lie != nil {
			lie(si, num, r.Offset, dst[i])
		}
	}
	return nil
}

// scribble is what a read does after its context ended.
func (s *Server) scribble(ctx context.Context, dst [][]byte) {
	s.mu.Lock()
	wait := s.faults.Scribble
	s.mu.Unlock()
	if wait == 0 || ctx.Err() == nil {
		return
	}
	time.Sleep(wait)
	for _, d := range dst {
		for i := range d {
			d[i] ^= 0xff
		}
	}
}

// Allocate implements transfer.Server.
func (s *Server) Allocate(ctx context.Context, si caps.StorageIndex, nums []int, size uint64, _, _ [32]byte) (have, allocated []int, err error) {
	if err := storage.ValidateAllocate(nums, size); err != nil {
		return nil, nil, err
	}
	if err := s.enter(ctx, "Allocate", 0); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Allocates++
	if s.faults.ReadOnly {
		return nil, nil, storage.ErrReadOnly
	}
	if s.slots[si] != nil {
		return nil, nil, storage.ErrMutable
	}
	full := false
	for _, num := range nums {
		switch {
		case s.shares[si][num] != nil:
			have = append(have, num)
		case s.uploads[upload{si, num}] != nil: // somebody else's
		case s.capacity >= 0 && s.used+int64(size) > s.capacity:
			full = true
		default:
			s.used += int64(size)
			s.uploads[upload{si, num}] = &incoming{data: make([]byte, size)}
			allocated = append(allocated, num)
		}
	}
	if full && len(have)+len(allocated) == 0 {
		return nil, nil, storage.ErrNoSpace
	}
	return have, allocated, nil
}

// Write implements transfer.Server.
func (s *Server) Write(ctx context.Context, si caps.StorageIndex, num int, offset uint64, data []byte) error {
	if err := s.enter(ctx, "Write", len(data)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Writes++
	s.counts.BytesWritten += int64(len(data))
	in := s.uploads[upload{si, num}]
	if in == nil {
		return storage.ErrNoUpload
	}
	if offset > uint64(len(in.data)) || uint64(len(data)) > uint64(len(in.data))-offset {
		return storage.ErrRange
	}
	copy(in.data[offset:], data)
	in.written += len(data)
	return nil
}

// Commit implements transfer.Server.
func (s *Server) Commit(ctx context.Context, si caps.StorageIndex, num int) error {
	if err := s.enter(ctx, "Commit", 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Commits++
	in := s.uploads[upload{si, num}]
	if in == nil {
		return storage.ErrNoUpload
	}
	if in.written != len(in.data) {
		return storage.ErrIncomplete
	}
	delete(s.uploads, upload{si, num})
	s.put(si, num, in.data)
	return s.faults.CommitLost
}

// Abort implements transfer.Server.
func (s *Server) Abort(ctx context.Context, si caps.StorageIndex, num int) error {
	if err := s.enter(ctx, "Abort", 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Aborts++
	in := s.uploads[upload{si, num}]
	if in == nil {
		return storage.ErrNoUpload
	}
	s.used -= int64(len(in.data))
	delete(s.uploads, upload{si, num})
	return nil
}

// AddLease implements transfer.Server.
func (s *Server) AddLease(ctx context.Context, si caps.StorageIndex, _, _ [32]byte) error {
	if err := s.enter(ctx, "AddLease", 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Leases++
	if len(s.shares[si]) == 0 && s.slots[si] == nil {
		return storage.ErrNotFound
	}
	return nil
}

// Advise implements transfer.Server.
func (s *Server) Advise(ctx context.Context, si caps.StorageIndex, num int, _ string) error {
	if err := s.enter(ctx, "Advise", 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares[si][num] == nil && (s.slots[si] == nil || s.slots[si].shares[num] == nil) {
		return storage.ErrNotFound
	}
	s.counts.Advised++
	return nil
}

// enter lets a call that moves size bytes suffer the server's faults.
func (s *Server) enter(ctx context.Context, call string, size int) error {
	waited := false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.mu.Lock()
		f, changed := s.faults, s.changed
		if f.Down == nil && f.DieAfter > 0 && s.moved+int64(size) > f.DieAfter {
			f.Down = ErrDown
		}
		hang := f.Hang || f.HangFor[call] || f.HangAfter > 0 && s.moved+int64(size) > f.HangAfter
		var wait time.Duration
		if f.Down == nil && !hang && !waited {
			wait = f.Latency + s.occupy(f.Rate, size)
		}
		if f.Down == nil && f.DownFor[call] == nil && !hang && (waited || wait == 0) {
			s.moved += int64(size)
			s.mu.Unlock()
			return nil
		}
		if f.Down != nil || f.DownFor[call] != nil {
			s.counts.Refused++
		}
		s.mu.Unlock()
		switch {
		case f.Down != nil:
			return f.Down
		case f.DownFor[call] != nil:
			return f.DownFor[call]
		case hang:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
		default:
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			case <-timer.C:
				waited = true
			}
		}
	}
}

// occupy reserves the link for size bytes and says how long until they are
// through. It needs the lock.
func (s *Server) occupy(rate int64, size int) time.Duration {
	if rate <= 0 || size == 0 {
		return 0
	}
	now := time.Now()
	if s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(time.Duration(float64(size) / float64(rate) * float64(time.Second)))
	return s.free.Sub(now)
}

func sortedKeys(m map[int][]byte) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Ints(keys)
	return keys
}
