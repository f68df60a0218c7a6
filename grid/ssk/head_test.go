package ssk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

// Heads that a stranger could write to make a reader allocate or compute what it should not.
func TestHostileHeads(t *testing.T) {
	t.Parallel()
	heads := map[ssk.Format][]byte{}
	for _, f := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		_, x := encode(t, ssk.EncoderConfig{Keys: testKeys(t), Format: f, Seq: 1, K: 3, N: 10}, pattern("head", 5000))
		heads[f] = x.Head().Bytes()
	}
	u64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint64(b[at:], v); return b }
	}
	u32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], v); return b }
	}
	for name, c := range map[string]struct {
		f      ssk.Format
		change func([]byte) []byte
	}{
		"empty":                 {ssk.SDMF, func([]byte) []byte { return nil }},
		"one byte":              {ssk.MDMF, func(b []byte) []byte { return b[:1] }},
		"short SDMF":            {ssk.SDMF, func(b []byte) []byte { return b[:106] }},
		"short MDMF":            {ssk.MDMF, func(b []byte) []byte { return b[:122] }},
		"third format":          {ssk.MDMF, func(b []byte) []byte { b[0] = 2; return b }},
		"SDMF k 0":              {ssk.SDMF, func(b []byte) []byte { b[57] = 0; return b }},
		"MDMF k 0":              {ssk.MDMF, func(b []byte) []byte { b[41] = 0; return b }},
		"n below k":             {ssk.MDMF, func(b []byte) []byte { b[42] = 2; return b }},
		"huge length":           {ssk.MDMF, u64(51, 1<<63)},
		"many segments":         {ssk.MDMF, u64(51, 1<<62)},
		"tiny segments":         {ssk.MDMF, u64(43, 0)},
		"no multiple of k":      {ssk.MDMF, u64(43, 131072)},
		"huge segment":          {ssk.MDMF, u64(43, 3<<40)},
		"largest segment":       {ssk.MDMF, u64(43, 1<<64-1)},
		"SDMF two segments":     {ssk.SDMF, u64(59, 3)},
		"SDMF huge segment":     {ssk.SDMF, u64(59, 3<<40)},
		"SDMF other data":       {ssk.SDMF, u64(67, 100)},
		"SDMF signature early":  {ssk.SDMF, u32(75, 100)},
		"SDMF signature far":    {ssk.SDMF, u32(75, 1<<32-1)},
		"SDMF chain before":     {ssk.SDMF, u32(79, 0)},
		"SDMF end early":        {ssk.SDMF, u64(99, 0)},
		"SDMF end far":          {ssk.SDMF, u64(99, 1<<40)},
		"SDMF end overflow":     {ssk.SDMF, u64(99, 1<<64-1)},
		"MDMF key in head":      {ssk.MDMF, u64(59, 122)},
		"MDMF key overflow":     {ssk.MDMF, u64(59, 1<<64-1)},
		"MDMF chain long":       {ssk.MDMF, u64(67, 200)},
		"MDMF data far":         {ssk.MDMF, u64(99, 1<<40)},
		"MDMF tree far":         {ssk.MDMF, u64(107, 1<<40)},
		"MDMF end far":          {ssk.MDMF, u64(115, 1<<40)},
		"MDMF end at zero":      {ssk.MDMF, u64(115, 0)},
		"MDMF public key short": {ssk.MDMF, u64(91, 123)},
	} {
		b := c.change(bytes.Clone(heads[c.f]))
		if h, err := ssk.ParseHead(b); !errors.Is(err, ssk.ErrLayout) {
			t.Errorf("%s: %v, %+v", name, err, h)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		h    ssk.Header
		want error
	}{
		"good":              {ssk.Header{Format: ssk.MDMF, K: 3, N: 10, SegmentSize: 3, Length: 10}, nil},
		"empty":             {ssk.Header{K: 3, N: 10}, nil},
		"SDMF":              {ssk.Header{K: 3, N: 10, SegmentSize: 12, Length: 10}, nil},
		"SDMF two segments": {ssk.Header{K: 3, N: 10, SegmentSize: 9, Length: 10}, ssk.ErrGeometry},
		"format":            {ssk.Header{Format: 2, K: 3, N: 10}, ssk.ErrGeometry},
		"zero":              {ssk.Header{}, ssk.ErrGeometry},
		"negative k":        {ssk.Header{K: -1, N: 10}, ssk.ErrGeometry},
		"n of 256":          {ssk.Header{K: 3, N: 256}, ssk.ErrGeometry},
		"no segment size":   {ssk.Header{Format: ssk.MDMF, K: 3, N: 10, Length: 10}, ssk.ErrGeometry},
		"many segments":     {ssk.Header{Format: ssk.MDMF, K: 1, N: 1, SegmentSize: 1, Length: ssk.MaxSegments + 1}, ssk.ErrGeometry},
		"most segments":     {ssk.Header{Format: ssk.MDMF, K: 1, N: 1, SegmentSize: 1, Length: ssk.MaxSegments}, nil},
		"segment too large": {ssk.Header{Format: ssk.MDMF, K: 1, N: 1, SegmentSize: ssk.MaxSegment + 1, Length: 1}, ssk.ErrGeometry},
	} {
		if err := c.h.Validate(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	base := ssk.Header{Format: ssk.MDMF, Seq: 5, Root: caps.Hash{9}, K: 3, N: 10, SegmentSize: 131073, Length: 10}
	change := func(f func(*ssk.Header)) ssk.Header {
		h := base
		f(&h)
		return h
	}
	for name, c := range map[string]struct {
		h    ssk.Header
		want int
	}{
		"same":               {base, 0},
		"newer":              {change(func(h *ssk.Header) { h.Seq, h.Root = 6, caps.Hash{1} }), 1},
		"older, larger root": {change(func(h *ssk.Header) { h.Seq, h.Root = 4, caps.Hash{200} }), -1},
		"larger root":        {change(func(h *ssk.Header) { h.Root = caps.Hash{200} }), 1},
		"longer":             {change(func(h *ssk.Header) { h.Length++ }), 1},
	} {
		if got := c.h.Compare(base); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
		if got := base.Compare(c.h); got != -c.want {
			t.Errorf("%s the other way: %d", name, got)
		}
	}
	seq, root, err := ssk.ParseCheckstring(base.Checkstring())
	if err != nil || seq != 5 || root != base.Root {
		t.Errorf("checkstring: %d, %v, %v", seq, root, err)
	}
	if _, _, err := ssk.ParseCheckstring(make([]byte, 40)); !errors.Is(err, ssk.ErrLayout) {
		t.Errorf("short checkstring: %v", err)
	}
}

func TestCover(t *testing.T) {
	t.Parallel()
	h := ssk.Header{Format: ssk.MDMF, Seq: 1, K: 1, N: 1, SegmentSize: 100, Length: 250}
	for _, c := range []struct {
		offset, length uint64
		first, count   int
	}{
		{0, 0, 0, 0},
		{0, 1, 0, 1},
		{0, 100, 0, 1},
		{0, 101, 0, 2},
		{99, 2, 0, 2},
		{100, 1, 1, 1},
		{249, 1, 2, 1},
		{249, 1 << 63, 2, 1},
		{250, 1, 0, 0},
		{0, 1<<64 - 1, 0, 3},
		{1<<64 - 1, 1<<64 - 1, 0, 0},
	} {
		if first, count := h.Cover(c.offset, c.length); first != c.first || count != c.count {
			t.Errorf("%d bytes at %d: %d segments from %d", c.length, c.offset, count, first)
		}
	}
}

// Decrypt gives the same bytes from any offset on.
func TestDecryptFromTheMiddle(t *testing.T) {
	t.Parallel()
	key, salt := caps.NewMutableReadKey([16]byte{1}), [16]byte{2}
	whole := make([]byte, 1000)
	ssk.Decrypt(key, salt, 0, whole, whole)
	for at := range whole {
		part := make([]byte, len(whole)-at)
		ssk.Decrypt(key, salt, uint64(at), part, part)
		if !bytes.Equal(part, whole[at:]) {
			t.Fatalf("another stream from byte %d on", at)
		}
	}
}
