package mutable

import (
	"errors"

	"trunkline/caps"
)

// Seen remembers the newest version seen of each file. Safe for concurrent use.
type Seen struct{}

// NewSeen remembers in memory alone.
func NewSeen() *Seen { return &Seen{} }

// OpenSeen remembers in a file, which is made if it is not there. It keeps hashes of storage indexes, not the indexes.
func OpenSeen(path string) (*Seen, error) { return nil, errors.ErrUnsupported }

// Newest is the sequence number and root of the newest version seen of a file; ok is false if none was. A nil Seen has seen
// nothing.
func (s *Seen) Newest(si caps.StorageIndex) (seq uint64, root caps.Hash, ok bool) {
	return 0, caps.Hash{}, false
}

// Note remembers that a version, whose signature was verified, was there: it is kept if it is the newest. A nil Seen forgets it.
func (s *Seen) Note(si caps.StorageIndex, seq uint64, root caps.Hash) {}

// Close closes the file.
func (s *Seen) Close() error { return nil }
