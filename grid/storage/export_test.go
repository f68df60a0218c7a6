package storage

// What tests see of the inside.

type (
	TestingOnlyDisk = disk
	TestingOnlyFile = file
)

// TestingOnlyOpen is Open on any disk.
func TestingOnlyOpen(cfg Config, d disk) (*Store, error) { return open(cfg, d) }

// TestingOnlyContainer is what parseContainer says of a file.
func TestingOnlyContainer(head []byte, size uint64) (data uint64, leases uint32, err error) {
	c, err := parseContainer(head, size)
	return c.data, c.leases, err
}

// TestingOnlySpans is a set of bytes.
type TestingOnlySpans = spans

func (s *spans) TestingOnlyAdd(begin, end uint64) uint64 { return s.add(begin, end) }
func (s spans) TestingOnlyCovers(size uint64) bool       { return s.covers(size) }
func (s spans) TestingOnlyOverlap(begin, end uint64) (n uint64) {
	for _, t := range s.overlap(begin, end) {
		n += t.end - t.begin
	}
	return n
}
func (s spans) TestingOnlyTotal() uint64 { return s.total() }

// TestingOnlyUploads counts the uploads in progress and the bytes promised to them, on either account.
func (s *Store) TestingOnlyUploads() (n int, promised uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads), max(s.promised, s.pending)
}

// TestingOnlyPeers counts the peers that have uploads open.
func (v *Server) TestingOnlyPeers() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.uploads)
}

// TestingOnlyReason is the number of an error on the wire.
func TestingOnlyReason(err error) uint32 { return reasonOf(err) }

// TestingOnlyFilling reports whether an answer is on its way into a caller's memory.
func (r *Remote) TestingOnlyFilling() bool {
	for i := range r.reads {
		l := r.reads[i].live()
		if l == nil {
			continue
		}
		l.mu.Lock()
		for _, c := range l.calls {
			if c.filling {
				l.mu.Unlock()
				return true
			}
		}
		l.mu.Unlock()
	}
	return false
}

// TestingOnlyStaged counts the files of changes of slots in progress, and the bytes promised.
func (s *Store) TestingOnlyStaged() (n int, promised uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.staged, s.promised
}

// TestingOnlyUsed is how many bytes the share files have, under MaxBytes.
func (s *Store) TestingOnlyUsed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}
