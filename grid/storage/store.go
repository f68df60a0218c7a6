package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"sync"
	"time"

	"trunkline/caps"
)

const (
	// DefaultUploadTimeout is how long an upload may be idle.
	DefaultUploadTimeout = 30 * time.Minute
	// MaxUploads bounds the uploads in progress in one store: each holds a file open.
	MaxUploads = 4096
)

// Config says how a [Store] is opened. Zero values mean what the comments say.
type Config struct {
	// Dir is the storage directory, the one that contains "shares". Made if missing, unless ReadOnly.
	// Links inside it that lead out of it are not followed.
	Dir string
	// ReadOnly opens an existing directory and changes nothing in it.
	ReadOnly bool
	// ReservedBytes of the file system stay free of uploads; 0 reserves nothing.
	ReservedBytes uint64
	// MaxBytes bounds the share files altogether, uploads included; 0 is no bound. When it is set,
	// Open reads the size of every share file once.
	MaxBytes uint64
	// UploadTimeout is how long an upload may be idle; 0 is DefaultUploadTimeout.
	UploadTimeout time.Duration
	// NodeID is the server's 20-byte peer id: it stands in the mutable shares made here, beside the write
	// enabler that a client derived from it. An adopted Tahoe directory keeps its node's: SHA-1 of the certificate
	// in private/node.pem.
	NodeID [20]byte
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
	// NoSync leaves out every fsync, so a power cut may lose acknowledged shares: benchmarks only.
	NoSync bool
}

// Store keeps the shares of one server. All its methods are safe for concurrent use. One process has a
// directory open for writing at a time.
type Store struct {
	cfg     Config
	disk    disk
	lock    io.Closer // nil when read-only
	now     func() time.Time
	log     *slog.Logger
	handles *handles
	slots   *slotLocks // taken after alloc, before the rest

	alloc  sync.Mutex // one Allocate at a time; taken before all others
	tree   sync.Mutex // making a bucket and putting a share in it, against removing an empty one
	leases sync.Mutex // one change of a share's leases at a time

	mu         sync.Mutex // guards the rest; never held during input or output
	uploads    map[shareID]*Upload
	created    uint64                     // uploads begun, for unique names
	pending    uint64                     // bytes promised to uploads and not written yet
	used       uint64                     // bytes of complete share files, kept only under MaxBytes
	promised   uint64                     // bytes of the files of uploads and of changes of slots in progress
	slotFiles  int                        // files that readings of slots have open
	staged     int                        // files that changes of slots have open
	advisories int                        // files in advisoryDir
	settled    map[caps.StorageIndex]bool // slots whose directories are durable
	failed     bool                       // the disk failed: no more writes
	closed     bool
}

// Open opens the store in cfg.Dir. In read-write mode it takes the directory's lock and removes what
// uploads of an earlier run left under incoming; files of others stay.
//
// Errors: ErrLocked; anything else is the disk's.
func Open(cfg Config) (*Store, error) {
	if !cfg.ReadOnly {
		if err := os.MkdirAll(cfg.Dir, dirMode); err != nil {
			return nil, fmt.Errorf("making the storage directory: %w", err)
		}
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the storage directory: %w", err)
	}
	var lock *os.File
	if !cfg.ReadOnly {
		if lock, err = lockRoot(root); err != nil {
			return nil, errors.Join(fmt.Errorf("locking the storage directory: %w", err), root.Close())
		}
	}
	s, err := open(cfg, rootDisk{root, cfg.NoSync})
	if err != nil {
		if lock != nil {
			_ = lock.Close()
		}
		return nil, errors.Join(err, root.Close())
	}
	if lock != nil {
		s.lock = lock
	}
	return s, nil
}

func lockRoot(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE|openNonblock, fileMode)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open is Open on any disk.
func open(cfg Config, d disk) (*Store, error) {
	s := &Store{
		cfg:     cfg,
		disk:    d,
		now:     cfg.Now,
		log:     cfg.Logger,
		handles: newHandles(),
		slots:   newSlotLocks(),
		settled: make(map[caps.StorageIndex]bool),
		uploads: make(map[shareID]*Upload),
	}
	if s.now == nil {
		s.now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.UploadTimeout == 0 {
		s.cfg.UploadTimeout = DefaultUploadTimeout
	}
	if cfg.ReadOnly {
		return s, nil
	}
	for _, dir := range []string{sharesDir, incomingDir} {
		if err := d.Mkdir(dir); err != nil {
			return nil, fmt.Errorf("making %s: %w", dir, err)
		}
	}
	if err := errors.Join(d.SyncDir(sharesDir), d.SyncDir(".")); err != nil {
		return nil, fmt.Errorf("syncing the storage directory: %w", err)
	}
	found, err := s.finishChanges()
	if err != nil {
		return nil, fmt.Errorf("finishing changes of mutable shares: %w", err)
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("removing abandoned uploads: %w", err)
	}
	if found { // a record that came back later would undo what is written from now on
		if err := d.SyncDir(incomingDir); err != nil {
			return nil, fmt.Errorf("syncing %s: %w", incomingDir, err)
		}
	}
	if cfg.MaxBytes > 0 {
		if s.used, err = s.measure(); err != nil {
			return nil, fmt.Errorf("measuring the shares: %w", err)
		}
	}
	names, err := d.List(advisoryDir)
	if err != nil {
		return nil, fmt.Errorf("listing corruption advisories: %w", err)
	}
	s.advisories = len(names)
	return s, nil
}

// Close gives up every upload and closes the directory. Shares still open stay readable until they are
// closed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	uploads := make([]*Upload, 0, len(s.uploads))
	for _, u := range s.uploads {
		uploads = append(uploads, u)
	}
	s.mu.Unlock()

	for _, u := range uploads {
		u.Abort()
	}
	s.handles.close()
	err := s.disk.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// ReadOnly reports whether the store was opened read-only.
func (s *Store) ReadOnly() bool { return s.cfg.ReadOnly }

// writable says why nothing can be written now, or nil.
func (s *Store) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cfg.ReadOnly:
		return ErrReadOnly
	case s.closed:
		return ErrClosed
	case s.failed:
		return ErrFailed
	}
	return nil
}

// fail records a failed sync, or a failure in the middle of a change that has happened. Of a sync, the kernel may have dropped the bytes and forgotten about it, so trying
// again would only look like success.
func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failed {
		s.failed = true
		s.log.Error("the disk failed, the store takes no more writes", "error", err)
	}
}

// sweep removes our own files under incoming.
func (s *Store) sweep() error {
	names, err := s.disk.List(incomingDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !isUpload(name) {
			continue
		}
		if err := s.disk.Remove(path.Join(incomingDir, name)); err != nil {
			return err
		}
	}
	return nil
}

// prune removes the directories that a share was to be put in, if they are empty; if not, the disk
// refuses.
func (s *Store) prune(si caps.StorageIndex) {
	bucket := bucketDir(sharesDir, si)
	s.tree.Lock()
	defer s.tree.Unlock()
	s.mu.Lock()
	delete(s.settled, si)
	s.mu.Unlock()
	if s.disk.Remove(bucket) == nil {
		_ = s.disk.Remove(path.Dir(bucket))
	}
}

// measure adds up the sizes of the share files.
func (s *Store) measure() (total uint64, err error) {
	prefixes, err := s.disk.List(sharesDir)
	if err != nil {
		return 0, err
	}
	for _, p := range prefixes {
		if len(p) != 2 { // incoming, and what is not ours
			continue
		}
		dir := path.Join(sharesDir, p)
		buckets, err := s.disk.List(dir)
		if err != nil {
			return 0, err
		}
		for _, b := range buckets {
			n, err := s.measureBucket(path.Join(dir, b))
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

func (s *Store) measureBucket(bucket string) (total uint64, err error) {
	names, err := s.disk.List(bucket)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if _, ok := shareNumber(name); !ok {
			continue
		}
		size, err := s.fileSize(path.Join(bucket, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		total += size
	}
	return total, nil
}

func (s *Store) fileSize(name string) (uint64, error) {
	f, err := s.disk.Open(name, false)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Size()
	return uint64(max(size, 0)), err //nolint:gosec // not negative
}
