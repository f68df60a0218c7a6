package treetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// Run checks that Files keep to what tree.Files promises about the home grid. fresh makes one that is empty and healthy; two
// calls may give the same.
func Run(t *testing.T, fresh func(*testing.T) tree.Files) {
	for name, test := range map[string]func(suite){
		"immutable":   suite.immutable,
		"directories": suite.directories,
		"read":        suite.read,
		"create":      suite.create,
		"write":       suite.write,
		"modify":      suite.modify,
		"race":        suite.race,
		"refused":     suite.refused,
		"gone":        suite.gone,
		"cancelled":   suite.cancelled,
		"check":       suite.check,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(suite{t, fresh(t)})
		})
	}
}

type suite struct {
	*testing.T
	tree.Files
}

var errMine = errors.New("mine")

func (s suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// contents reads a whole file.
func (s suite) contents(c caps.Cap) string {
	s.Helper()
	var b bytes.Buffer
	s.must(s.Read(s.Context(), c, func(size uint64) (uint64, uint64, io.Writer, error) { return 0, size, &b, nil }))
	return b.String()
}

func (s suite) put(text string) caps.Cap {
	s.Helper()
	c, err := s.PutImmutable(s.Context(), strings.NewReader(text), uint64(len(text)))
	s.must(err)
	return c
}

func (s suite) mutable(kind caps.Kind, text string) caps.Cap {
	s.Helper()
	c, err := s.CreateMutable(s.Context(), kind, nil, func(caps.WriteKey) (io.ReaderAt, uint64, error) {
		return strings.NewReader(text), uint64(len(text)), nil
	})
	s.must(err)
	return c
}

func text(n int) string { return strings.Repeat("0123456789", n/10+1)[:n] }

func (s suite) immutable() {
	for _, n := range []int{0, 1, caps.LiteralMax, caps.LiteralMax + 1, 1000, 300_000} {
		c := s.put(text(n))
		if literal := c.Kind() == caps.KindLiteral; literal != (n <= caps.LiteralMax) || !literal && c.Kind() != caps.KindCHK {
			s.Errorf("%d bytes are a %v", n, c.Kind())
		}
		s.home(c)
		if s.contents(c) != text(n) {
			s.Errorf("%d bytes are read as others", n)
		}
	}
	if !s.put(text(1000)).Equal(s.put(text(1000))) {
		s.Log("the same contents have two caps: the Files have no convergence secret")
	}
}

// home looks whether a cap is of the home grid.
func (s suite) home(c caps.Cap) {
	s.Helper()
	if areas := c.Areas(); len(areas) > 1 || len(areas) == 1 && areas[0] != s.Home() {
		s.Errorf("made in %v", areas)
	}
}

// directories reads directory caps as the files that they stand for.
func (s suite) directories() {
	for _, c := range []caps.Cap{s.put(text(10)), s.put(text(100)), s.mutable(caps.KindSDMF, text(10)), s.mutable(caps.KindMDMF, text(10))} {
		want := s.contents(c)
		dir, ok := c.Directory()
		if !ok || s.contents(dir) != want {
			s.Errorf("%v: the directory is not its file", dir.Kind())
		}
		readOnly, err := dir.ReadOnly()
		s.must(err)
		if s.contents(readOnly) != want {
			s.Errorf("%v: the read cap is not its file", readOnly.Kind())
		}
		if !dir.Kind().CanWrite() {
			continue
		}
		s.must(s.Modify(s.Context(), dir, func(old []byte) ([]byte, error) { return append(old, '!'), nil }))
		if s.contents(c) != want+"!" {
			s.Errorf("%v: changing the directory does not change its file", dir.Kind())
		}
	}
}

func (s suite) read() {
	for _, c := range []caps.Cap{s.put(text(50)), s.put(text(300_000)), s.mutable(caps.KindSDMF, text(5000)), s.mutable(caps.KindMDMF, text(300_000)), s.mutable(caps.KindSDMF, ""), s.put("")} {
		whole := s.contents(c)
		size := uint64(len(whole))
		for _, r := range [][2]uint64{{0, 0}, {0, size}, {size, 0}, {size / 2, size / 3}, {size - min(size, 1), min(size, 1)}, {size / 3, size - size/3}} {
			var b bytes.Buffer
			calls := 0
			err := s.Read(s.Context(), c, func(got uint64) (uint64, uint64, io.Writer, error) {
				calls++
				if got != size {
					s.Errorf("%v: %d bytes, want %d", c.Kind(), got, size)
				}
				if r[1] == 0 {
					return r[0], 0, nil, nil
				}
				return r[0], r[1], &b, nil
			})
			if err != nil || calls != 1 || b.String() != whole[r[0]:r[0]+r[1]] {
				s.Errorf("%v, %d bytes from %d of %d: %d calls, %v", c.Kind(), r[1], r[0], size, calls, err)
			}
		}
		if err := s.Read(s.Context(), c, func(uint64) (uint64, uint64, io.Writer, error) { return 0, 0, nil, errMine }); !errors.Is(err, errMine) {
			s.Errorf("%v: begin's error became %v", c.Kind(), err)
		}
		if size == 0 {
			continue
		}
		if err := s.Read(s.Context(), c, func(uint64) (uint64, uint64, io.Writer, error) { return 0, size, failing{}, nil }); !errors.Is(err, errMine) {
			s.Errorf("%v: the writer's error became %v", c.Kind(), err)
		}
		if err := s.Read(s.Context(), c, func(uint64) (uint64, uint64, io.Writer, error) { return 1, size, io.Discard, nil }); err == nil {
			s.Errorf("%v: more was read than there is", c.Kind())
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errMine }

func (s suite) create() {
	for _, kind := range []caps.Kind{caps.KindSDMF, caps.KindMDMF} {
		var key caps.WriteKey
		c, err := s.CreateMutable(s.Context(), kind, nil, func(k caps.WriteKey) (io.ReaderAt, uint64, error) {
			key = k
			return strings.NewReader("abc"), 3, nil
		})
		s.must(err)
		if got, ok := c.WriteKey(); !ok || !got.Equal(key) || c.Kind() != kind {
			s.Errorf("%v: made as %v, or with another key", kind, c.Kind())
		}
		s.home(c)
		if _, err := s.CreateMutable(s.Context(), kind, nil, func(caps.WriteKey) (io.ReaderAt, uint64, error) { return nil, 0, errMine }); !errors.Is(err, errMine) {
			s.Errorf("%v: contents's error became %v", kind, err)
		}
	}
	if _, err := s.CreateMutable(s.Context(), caps.KindCHK, nil, func(caps.WriteKey) (io.ReaderAt, uint64, error) { return strings.NewReader(""), 0, nil }); err == nil {
		s.Error("a mutable file of an immutable kind was made")
	}
	if _, err := s.CreateMutable(s.Context(), caps.KindSDMF, []byte("no key"), func(caps.WriteKey) (io.ReaderAt, uint64, error) { return strings.NewReader(""), 0, nil }); err == nil {
		s.Error("a mutable file was made with a key that is none")
	}
}

func (s suite) write() {
	for _, kind := range []caps.Kind{caps.KindSDMF, caps.KindMDMF} {
		c := s.mutable(kind, "old and long")
		s.must(s.Overwrite(s.Context(), c, strings.NewReader("new"), 3))
		if got := s.contents(c); got != "new" {
			s.Errorf("%v: overwritten it is %q", kind, got)
		}
		s.must(s.WriteAt(s.Context(), c, strings.NewReader("XY"), 1, 2))
		s.must(s.WriteAt(s.Context(), c, strings.NewReader("end"), 3, 3))
		if got := s.contents(c); got != "nXYend" {
			s.Errorf("%v: written into it is %q", kind, got)
		}
		s.must(s.Overwrite(s.Context(), c, strings.NewReader(""), 0))
		if got := s.contents(c); got != "" {
			s.Errorf("%v: emptied it is %q", kind, got)
		}
	}
	c := s.mutable(caps.KindMDMF, text(300_000))
	s.must(s.WriteAt(s.Context(), c, strings.NewReader("XYZ"), 131_070, 3))
	if want := text(300_000)[:131_070] + "XYZ" + text(300_000)[131_073:]; s.contents(c) != want {
		s.Error("written into across segments it is something else")
	}
}

func (s suite) modify() {
	for _, kind := range []caps.Kind{caps.KindSDMF, caps.KindMDMF} {
		c := s.mutable(kind, "a")
		s.must(s.Modify(s.Context(), c, func(old []byte) ([]byte, error) { return append(old, 'b'), nil }))
		s.must(s.Modify(s.Context(), c, func(old []byte) ([]byte, error) { return old, nil }))
		s.must(s.Modify(s.Context(), c, func(old []byte) ([]byte, error) { old[0] = 'A'; return old, nil }))
		if got := s.contents(c); got != "Ab" {
			s.Errorf("%v: modified it is %q", kind, got)
		}
		if err := s.Modify(s.Context(), c, func([]byte) ([]byte, error) { return []byte("x"), errMine }); !errors.Is(err, errMine) {
			s.Errorf("%v: fn's error became %v", kind, err)
		}
		if got := s.contents(c); got != "Ab" {
			s.Errorf("%v: a change that failed leaves %q", kind, got)
		}
	}
}

// race has several change one file at once: each change that is acknowledged is there.
func (s suite) race() {
	c := s.mutable(caps.KindSDMF, "")
	const writers = 8
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			errs[i] = s.Modify(s.Context(), c, func(old []byte) ([]byte, error) { return fmt.Appendf(old, "<%d>", i), nil })
		})
	}
	all.Wait()
	got := s.contents(c)
	for i, err := range errs {
		if n := strings.Count(got, fmt.Sprintf("<%d>", i)); n > 1 || err == nil && n != 1 {
			s.Errorf("change %d ended with %v and is there %d times", i, err, n)
		}
	}
}

func (s suite) refused() {
	mutable := s.mutable(caps.KindSDMF, "abc")
	readOnly, err := mutable.ReadOnly()
	s.must(err)
	verify, _ := mutable.VerifyCap()
	elsewhere, err := mutable.Local().WithAreas(Area(250))
	s.must(err)
	for _, c := range []caps.Cap{readOnly, verify, elsewhere, s.put("abc"), s.put(text(100)), {}} {
		if err := s.Overwrite(s.Context(), c, strings.NewReader("x"), 1); err == nil {
			s.Errorf("%v was overwritten", c)
		}
		if err := s.WriteAt(s.Context(), c, strings.NewReader("x"), 0, 1); err == nil {
			s.Errorf("%v was written to", c)
		}
		if err := s.Modify(s.Context(), c, func([]byte) ([]byte, error) { return nil, nil }); err == nil {
			s.Errorf("%v was modified", c)
		}
	}
	if got := s.contents(mutable); got != "abc" {
		s.Errorf("it is %q", got)
	}
	for _, c := range []caps.Cap{verify, {}} {
		if err := s.Read(s.Context(), c, func(uint64) (uint64, uint64, io.Writer, error) { return 0, 0, nil, nil }); err == nil {
			s.Errorf("%v was read", c)
		}
	}
	if _, err := s.Check(s.Context(), elsewhere, false, false); err == nil {
		s.Error("another grid's file was checked")
	}
}

// gone asks for files that nobody has.
func (s suite) gone() {
	read, err := caps.NewCHKRead(caps.NewReadKey([16]byte{1}), caps.Hash{2}, 1, 1, 1000)
	s.must(err)
	write, err := caps.NewMutable(caps.KindSDMF, caps.NewWriteKey([16]byte{3}), caps.Hash{4})
	s.must(err)
	for _, c := range []caps.Cap{read.Cap(), write} {
		err := s.Read(s.Context(), c, func(size uint64) (uint64, uint64, io.Writer, error) { return 0, size, io.Discard, nil })
		if err == nil {
			s.Errorf("%v was read", c)
		}
	}
	if err := s.Modify(s.Context(), write, func(old []byte) ([]byte, error) { return old, nil }); err == nil {
		s.Error("it was modified")
	}
	if h, err := s.Check(s.Context(), write, false, false); err != nil || h.Recoverable() {
		s.Errorf("checked: %s, %v", h.Summary(), err)
	}
}

func (s suite) cancelled() {
	c := s.mutable(caps.KindSDMF, "abc")
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if err := s.Read(ctx, c, func(size uint64) (uint64, uint64, io.Writer, error) { return 0, size, io.Discard, nil }); err == nil {
		s.Error("it was read")
	}
	if err := s.Modify(ctx, c, func(old []byte) ([]byte, error) { return append(old, 'x'), nil }); err == nil {
		s.Error("it was modified")
	}
	if _, err := s.PutImmutable(ctx, strings.NewReader(text(100)), 100); err == nil {
		s.Error("something was stored")
	}
}

func (s suite) check() {
	for _, c := range []caps.Cap{s.mutable(caps.KindSDMF, "abc"), s.mutable(caps.KindMDMF, "abc"), s.put(text(1000))} {
		for _, verify := range []bool{false, true} {
			h, err := s.Check(s.Context(), c, verify, true)
			if err != nil || !h.Healthy() || h.Cap.IsZero() {
				s.Errorf("%v, verify %v: %s, %v", c.Kind(), verify, h.Summary(), err)
			}
		}
		before, after, err := s.Repair(s.Context(), c, false, false)
		if err != nil || !before.Healthy() || !after.Healthy() {
			s.Errorf("%v: repaired from %s to %s, %v", c.Kind(), before.Summary(), after.Summary(), err)
		}
	}
	if _, err := s.Check(s.Context(), s.put("literal"), false, false); err == nil {
		s.Error("a literal was checked")
	}
}
