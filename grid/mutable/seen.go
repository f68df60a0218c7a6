package mutable

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"trunkline/caps"
	"trunkline/p2p/durable"
)

const (
	// seenMost bounds the files that are remembered; of more any are forgotten.
	seenMost = 1 << 16
	// seenRecord is the length of a record: 16 bytes that name the file, sequence number, root, and 4 bytes of checksum.
	seenRecord = 16 + 8 + 32 + 4
	// seenMagic begins the file.
	seenMagic = "trunkline/seen/v1\n"
	// seenTag is hashed before a storage index, so that the file does not list what somebody reads.
	seenTag = "trunkline/seen/v1:"
)

// Seen remembers the newest version seen of each file. Safe for concurrent use. A nil Seen has seen nothing and forgets
// everything.
//
// On disk it is a log of records, rewritten when it has grown to twice what is remembered. Records are not synced one by one: a
// power cut may lose the last few, which makes nothing worse than not having read those files.
type Seen struct {
	mu      sync.Mutex
	newest  map[[16]byte]seenVersion
	path    string   // empty: in memory alone
	file    *os.File // nil after Close
	records int      // in the file
}

type seenVersion struct {
	seq  uint64
	root caps.Hash
}

// NewSeen remembers in memory alone.
func NewSeen() *Seen { return &Seen{newest: make(map[[16]byte]seenVersion)} }

// OpenSeen remembers in a file, which is made if it is not there. It names files by hashes of their storage indexes. What is
// damaged at its end is left out. One process has it open at a time.
//
// Errors: that of the file system; ErrSeenFile for a file that is none of ours.
func OpenSeen(path string) (*Seen, error) {
	s := NewSeen()
	s.path = path
	raw, err := durable.ReadFile(path, int64(len(seenMagic)+4*seenMost*seenRecord))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading the versions seen: %w", err)
	case !bytes.HasPrefix(raw, []byte(seenMagic)):
		return nil, fmt.Errorf("reading the versions seen: %w", ErrSeenFile)
	default:
		s.load(raw[len(seenMagic):])
	}
	if err := s.rewrite(); err != nil {
		return nil, fmt.Errorf("writing the versions seen: %w", err)
	}
	return s, nil
}

// load takes records up to the first that is damaged.
func (s *Seen) load(raw []byte) {
	for ; len(raw) >= seenRecord; raw = raw[seenRecord:] {
		record := raw[:seenRecord]
		sum := sha256.Sum256(record[:seenRecord-4])
		if !bytes.Equal(sum[:4], record[seenRecord-4:]) {
			return
		}
		s.note([16]byte(record), seenVersion{binary.BigEndian.Uint64(record[16:]), caps.Hash(record[24:56])})
	}
}

// Newest is the sequence number and root of the newest version seen of a file; ok is false if none was.
func (s *Seen) Newest(si caps.StorageIndex) (seq uint64, root caps.Hash, ok bool) {
	if s == nil {
		return 0, caps.Hash{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.newest[seenName(si)]
	return v.seq, v.root, ok
}

// Note remembers a version, whose signature was verified and which could be read, if it is the newest.
func (s *Seen) Note(si caps.StorageIndex, seq uint64, root caps.Hash) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name, v := seenName(si), seenVersion{seq, root}
	if !s.note(name, v) || s.file == nil {
		return
	}
	if s.records >= 2*max(len(s.newest), 1024) {
		if s.rewrite() == nil {
			return
		}
	}
	if _, err := s.file.Write(appendSeen(nil, name, v)); err == nil {
		s.records++
	}
}

// note reports whether v is newer than what was known.
func (s *Seen) note(name [16]byte, v seenVersion) bool {
	if old, ok := s.newest[name]; ok && (old.seq > v.seq || old == v) {
		return false
	}
	for other := range s.newest {
		if len(s.newest) < seenMost {
			break
		}
		delete(s.newest, other)
	}
	s.newest[name] = v
	return true
}

// rewrite replaces the file by one with what is remembered, and leaves it open for more.
func (s *Seen) rewrite() error {
	raw := []byte(seenMagic)
	for name, v := range s.newest {
		raw = appendSeen(raw, name, v)
	}
	if err := durable.WriteFile(s.path, raw); err != nil {
		return err
	}
	file, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.records = file, len(s.newest)
	return nil
}

// Close closes the file. What is noted afterwards stays in memory.
func (s *Seen) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return errors.Join(file.Sync(), file.Close())
}

func appendSeen(b []byte, name [16]byte, v seenVersion) []byte {
	start := len(b)
	b = append(b, name[:]...)
	b = binary.BigEndian.AppendUint64(b, v.seq)
	b = append(b, v.root[:]...)
	sum := sha256.Sum256(b[start:])
	return append(b, sum[:4]...)
}

func seenName(si caps.StorageIndex) [16]byte {
	h := sha256.Sum256(append([]byte(seenTag), si[:]...))
	return [16]byte(h[:16])
}
