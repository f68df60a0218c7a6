package tree

import (
	"encoding/json"

	"trunkline/caps"
)

// Stats counts what a walk finds. The zero value has found nothing. Sizes are in bytes; of mutable files nobody knows them.
// One goroutine at a time.
type Stats struct {
	ImmutableFiles, MutableFiles, LiteralFiles uint64
	Directories, Unknown                       uint64

	ImmutableSize, LiteralSize, DirectorySize  uint64
	LargestDirectory, LargestDirectoryChildren uint64
	LargestImmutableFile                       uint64

	histogram [buckets]uint64
}

// Files is the number of files of all sorts.
func (s *Stats) Files() uint64 { return s.ImmutableFiles + s.MutableFiles + s.LiteralFiles }

// Walker feeds the statistics: give it to Walk, or call its functions from another.
func (s *Stats) Walker() Walker {
	return Walker{
		Node:      func(v Visit) error { s.node(v.Node); return nil },
		Directory: func(_ Visit, l Listing) error { s.directory(l); return nil },
	}
}

func (s *Stats) node(n Node) {
	size, _ := n.Size()
	mutable, _ := n.Mutable()
	switch {
	case n.Type() == TypeUnknown:
		s.Unknown++
	case n.Type() == TypeDirectory:
		s.Directories++
	case mutable:
		s.MutableFiles++
	case n.Cap().Kind() == caps.KindLiteral:
		s.LiteralFiles++
		s.LiteralSize += size
		s.count(size)
	default:
		s.ImmutableFiles++
		s.ImmutableSize += size
		s.LargestImmutableFile = max(s.LargestImmutableFile, size)
		s.count(size)
	}
}

func (s *Stats) directory(l Listing) {
	s.DirectorySize += l.Size
	s.LargestDirectory = max(s.LargestDirectory, l.Size)
	s.LargestDirectoryChildren = max(s.LargestDirectoryChildren, uint64(len(l.Children)))
}

// Bucket counts the files of Min to Max bytes.
type Bucket struct{ Min, Max, Count uint64 }

// rootOfTen is the root of ten, times ten to the lastPower.
const (
	rootOfTen = 3162277660168379331
	lastPower = 18
	buckets   = 2*lastPower + 2 // the last takes what is larger, too
)

// upper is the largest size in a bucket: 0, 3, 10, 31, 100, and so on, the powers of the root of ten, cut down.
func upper(bucket int) uint64 {
	if bucket == 0 {
		return 0
	}
	bound := uint64(1)
	if bucket%2 == 1 {
		bound = rootOfTen
		for range lastPower - bucket/2 {
			bound /= 10
		}
		return bound
	}
	for range bucket / 2 {
		bound *= 10
	}
	return bound
}

func (s *Stats) count(size uint64) {
	bucket := 0
	for bucket < buckets-1 && size > upper(bucket) {
		bucket++
	}
	s.histogram[bucket]++
}

// Histogram is how many immutable and literal files there are of which size, ascending, without empty buckets.
func (s *Stats) Histogram() []Bucket {
	filled := []Bucket{}
	low := uint64(0)
	for n, count := range s.histogram {
		if count > 0 {
			filled = append(filled, Bucket{low, upper(n), count})
		}
		low = upper(n) + 1
	}
	return filled
}

// MarshalJSON gives the keys and the order of Tahoe.
//
// Source: tahoe-formats 9.6.
func (s *Stats) MarshalJSON() ([]byte, error) {
	histogram := [][3]uint64{}
	for _, b := range s.Histogram() {
		histogram = append(histogram, [3]uint64{b.Min, b.Max, b.Count})
	}
	return json.Marshal(struct {
		Version      int         `json:"api-version"`
		Immutable    uint64      `json:"count-immutable-files"`
		Mutable      uint64      `json:"count-mutable-files"`
		Literal      uint64      `json:"count-literal-files"`
		Files        uint64      `json:"count-files"`
		Directories  uint64      `json:"count-directories"`
		Unknown      uint64      `json:"count-unknown"`
		ImmutableS   uint64      `json:"size-immutable-files"`
		LiteralS     uint64      `json:"size-literal-files"`
		DirectoriesS uint64      `json:"size-directories"`
		LargestDir   uint64      `json:"largest-directory"`
		LargestKids  uint64      `json:"largest-directory-children"`
		LargestFile  uint64      `json:"largest-immutable-file"`
		Histogram    [][3]uint64 `json:"size-files-histogram"`
	}{
		1, s.ImmutableFiles, s.MutableFiles, s.LiteralFiles, s.Files(), s.Directories, s.Unknown,
		s.ImmutableSize, s.LiteralSize, s.DirectorySize,
		s.LargestDirectory, s.LargestDirectoryChildren, s.LargestImmutableFile, histogram,
	})
}
