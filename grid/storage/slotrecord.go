package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"trunkline/caps"
)

const (
	recordSuffix   = ".slot" + uploadSuffix // of a record under incoming
	copySuffix     = ".copy" + uploadSuffix // of a file's second name
	recordHeading  = "trunkline/slot-change/v1"
	maxRecordBytes = 64 << 10
)

// changeRecord is a change of several shares of one slot that has happened, if it is whole and every file that it names
// is there.
type changeRecord struct {
	si       caps.StorageIndex
	replaced []replacement
	removed  []int
}

// replacement is the file under incoming that becomes a share.
type replacement struct {
	num  int
	name string
}

// encode is the record's lines, and their hash, by which a torn one is known.
func (r changeRecord) encode() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", recordHeading, r.si)
	for _, e := range r.replaced {
		fmt.Fprintf(&b, "replace %d %s\n", e.num, e.name)
	}
	for _, num := range r.removed {
		fmt.Fprintf(&b, "remove %d\n", num)
	}
	sum := sha256.Sum256([]byte(b.String()))
	fmt.Fprintf(&b, "sha256 %s\n", hex.EncodeToString(sum[:]))
	return []byte(b.String())
}

// parseRecord reads what encode wrote.
//
// Errors: ErrDamaged.
func parseRecord(b []byte) (r changeRecord, err error) {
	body, sum, ok := strings.Cut(string(b), "sha256 ")
	if want := sha256.Sum256([]byte(body)); !ok || sum != hex.EncodeToString(want[:])+"\n" {
		return r, fmt.Errorf("%w: the record is not whole", ErrDamaged)
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if len(lines) < 2 || lines[0] != recordHeading {
		return r, fmt.Errorf("%w: another kind of record", ErrDamaged)
	}
	if r.si, err = caps.ParseStorageIndex(lines[1]); err != nil {
		return r, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, line := range lines[2:] {
		verb, rest, _ := strings.Cut(line, " ")
		number, name, _ := strings.Cut(rest, " ")
		num, ok := shareNumber(number)
		switch {
		case ok && verb == "remove" && name == "":
			r.removed = append(r.removed, num)
		case ok && verb == "replace" && isUpload(name) && name == path.Base(name):
			r.replaced = append(r.replaced, replacement{num, name})
		default:
			return changeRecord{}, fmt.Errorf("%w: %s", ErrDamaged, strconv.Quote(line))
		}
	}
	return r, nil
}

// finishChanges does what the records of an earlier run say, and says whether there were any. What is under incoming can
// be removed afterwards.
func (s *Store) finishChanges() (found bool, err error) {
	names, err := s.disk.List(incomingDir)
	if err != nil {
		return false, err
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	for _, name := range names {
		if !strings.HasSuffix(name, recordSuffix) {
			continue
		}
		found = true
		r, err := s.readRecord(path.Join(incomingDir, name))
		if errors.Is(err, ErrDamaged) {
			continue // it was being written
		}
		if err != nil {
			return found, err
		}
		whole := true
		for _, e := range r.replaced {
			whole = whole && there[e.name]
		}
		if !whole {
			continue // it was not durable yet, or everything it says is done
		}
		if err := s.finish(r, true); err != nil {
			return found, err
		}
		s.log.Info("a change of mutable shares was finished", "shares", len(r.replaced)+len(r.removed))
		s.prune(r.si)
	}
	return found, nil
}

func (s *Store) readRecord(name string) (changeRecord, error) {
	f, err := s.disk.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return changeRecord{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return changeRecord{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return changeRecord{}, err
	}
	if size > maxRecordBytes {
		return changeRecord{}, fmt.Errorf("%w: a record of %d bytes", ErrDamaged, size)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return changeRecord{}, err
	}
	return parseRecord(b)
}
