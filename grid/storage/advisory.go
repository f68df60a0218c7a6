package storage

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"trunkline/caps"
)

const (
	// MaxReasonBytes bounds the text of a corruption advisory.
	MaxReasonBytes = 4096
	// MaxAdvisories bounds the advisories in a store; the operator makes room by removing old ones and
	// starting again.
	MaxAdvisories = 1000
)

// Advise records that a client found a share corrupt, as a file for the operator. Control characters in
// reason become spaces.
//
// Safe for concurrent use. Errors: ErrNotFound, ErrInvalid (reason is empty or longer than
// MaxReasonBytes), ErrTooMany, ErrReadOnly, ErrFailed; anything else is the disk's.
//
// Source: Tahoe-LAFS, StorageServer.advise_corrupt_share.
func (s *Store) Advise(si caps.StorageIndex, num int, reason string) (err error) {
	if reason == "" || len(reason) > MaxReasonBytes {
		return fmt.Errorf("%w: a reason of %d bytes", ErrInvalid, len(reason))
	}
	if err := s.writable(); err != nil {
		return err
	}
	sort := "immutable"
	switch share, err := s.OpenShare(si, num); {
	case err == nil:
		share.Close()
	case errors.Is(err, ErrMutable):
		sort = "mutable"
	case !errors.Is(err, ErrDamaged):
		return err
	}
	if err := s.countAdvisory(); err != nil {
		return err
	}
	s.log.Warn("a client reports a corrupt share", "share", num)

	if err := s.disk.Mkdir(advisoryDir); err != nil {
		return diskError("making the directory of advisories", err)
	}
	stamp := s.now().UTC().Format("2006-01-02T150405.000000")
	f, err := s.disk.Create(fmt.Sprintf("%s/%s--%s-%d", advisoryDir, stamp, si, num))
	if err != nil {
		return diskError("creating the advisory", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text := fmt.Sprintf("report: Share Corruption\ntype: %s\nstorage_index: %s\nshare_number: %d\n\n%s\n\n",
		sort, si, num, printable(reason))
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return diskError("writing the advisory", err)
	}
	return nil
}

func (s *Store) countAdvisory() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.advisories >= MaxAdvisories {
		return fmt.Errorf("%w: there are %d corruption advisories", ErrTooMany, s.advisories)
	}
	s.advisories++
	return nil
}

// printable is text that does nothing to a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
