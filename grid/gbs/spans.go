package gbs

import "slices"

// span is the half-open range of bytes from begin to end.
type span struct{ begin, end uint64 }

// spans is a set of bytes: ascending spans with gaps between them.
type spans []span

// add puts [begin, end) in the set.
func (s *spans) add(begin, end uint64) {
	i, _ := slices.BinarySearchFunc(*s, begin, func(t span, at uint64) int {
		if t.end < at {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(*s) && (*s)[j].begin <= end; j++ {
		begin, end = min(begin, (*s)[j].begin), max(end, (*s)[j].end)
	}
	*s = slices.Replace(*s, i, j, span{begin, end})
}

// touches reports whether a byte of [begin, end) is in the set.
func (s spans) touches(begin, end uint64) bool {
	return slices.ContainsFunc(s, func(t span) bool { return t.begin < end && begin < t.end })
}

// covers reports whether every byte below size is in the set.
func (s spans) covers(size uint64) bool { return len(s) == 1 && s[0].begin == 0 && s[0].end >= size }
