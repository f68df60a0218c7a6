package storage

import "slices"

// span is the half-open range of bytes from begin to end.
type span struct{ begin, end uint64 }

// spans is a set of bytes: ascending spans with gaps between them.
type spans []span

// add puts [begin, end) in the set and returns how many of its bytes are new.
func (s *spans) add(begin, end uint64) (added uint64) {
	if begin >= end {
		return 0
	}
	i, j := s.touching(begin, end)
	merged := span{begin, end}
	added = end - begin
	for _, t := range (*s)[i:j] {
		if b, e := max(t.begin, begin), min(t.end, end); b < e {
			added -= e - b
		}
		merged.begin, merged.end = min(merged.begin, t.begin), max(merged.end, t.end)
	}
	*s = slices.Replace(*s, i, j, merged)
	return added
}

// touching returns the indexes [i, j) of the spans that overlap or adjoin [begin, end).
func (s spans) touching(begin, end uint64) (i, j int) {
	i, _ = slices.BinarySearchFunc(s, begin, func(t span, at uint64) int {
		if t.end < at {
			return -1
		}
		return 1
	})
	for j = i; j < len(s) && s[j].begin <= end; j++ {
	}
	return i, j
}

// overlap returns the parts of [begin, end) that are in the set.
func (s spans) overlap(begin, end uint64) []span {
	var both []span
	i, j := s.touching(begin, end)
	for _, t := range s[i:j] {
		if b, e := max(t.begin, begin), min(t.end, end); b < e {
			both = append(both, span{b, e})
		}
	}
	return both
}

// covers reports whether every byte below size is in the set.
func (s spans) covers(size uint64) bool {
	return len(s) == 1 && s[0].begin == 0 && s[0].end >= size
}

// total is how many bytes are in the set.
func (s spans) total() (n uint64) {
	for _, t := range s {
		n += t.end - t.begin
	}
	return n
}
