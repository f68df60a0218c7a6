package mutable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for _, size := range []int{0, 1, 55, 5000, 131072, 131073, 400_000, 3_000_000} {
			t.Run(fmt.Sprintf("%v-%d", format, size), func(t *testing.T) {
				t.Parallel()
				f := newFiles(t, gridtest.New(10), nil)
				data := contents(1, size)
				c := create(t, f, format, data)
				mustRead(t, f, c, data)
				// Others have nothing but the read cap, or the write cap.
				others := newFiles(t, nil, func(cfg *mutable.Config) { cfg.Servers = f.Servers() })
				readCap, err := c.ReadOnly()
				if err != nil {
					t.Fatal(err)
				}
				mustRead(t, others, readCap, data)
				for i, n := range []int{size / 2, size * 2, 0, 70_000} {
					data = contents(uint64(i+2), n)
					r, err := overwrite(others, c, data)
					if err != nil {
						t.Fatalf("overwriting: %v", err)
					}
					if r.Header.Seq != uint64(i+2) || r.Happiness != 10 {
						t.Fatalf("version %d on %d servers", r.Header.Seq, r.Happiness)
					}
					mustRead(t, f, readCap, data)
				}
			})
		}
	}
}

func TestWriteAt(t *testing.T) {
	t.Parallel()
	const size = 1_000_000
	cases := []struct {
		name         string
		offset, size int
	}{
		{"inside-one-segment", 140_000, 1000},
		{"across-segments", 131_000, 200},
		{"whole-segment", 131_073, 131_073},
		{"first-bytes", 0, 10},
		{"last-bytes", size - 10, 10},
		{"over-the-end", size - 10, 20},
		{"at-the-end", size, 300_000},
		{"beyond-the-end", size + 200_000, 5},
		{"everything", 0, size},
		{"nothing", 10, 0},
	}
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%v-%s", format, c.name), func(t *testing.T) {
				t.Parallel()
				servers := gridtest.New(10)
				f := newFiles(t, servers, nil)
				data := contents(1, size)
				file := create(t, f, format, data)
				before := servers[0].Counts().BytesWritten
				patch := contents(2, c.size)
				if _, err := f.WriteAt(context.Background(), file, bytes.NewReader(patch), uint64(c.offset), uint64(c.size)); err != nil {
					t.Fatal(err)
				}
				if c.size > 0 {
					data = append(data, make([]byte, max(0, c.offset+c.size-len(data)))...)
					copy(data[c.offset:], patch)
				}
				mustRead(t, f, file, data)
				if written := servers[0].Counts().BytesWritten - before; format == ssk.MDMF && c.size <= 1000 && c.offset < size && written > 110_000 {
					t.Errorf("%d bytes were written to change %d", written, c.size)
				}
				h := check(t, f, file, transfer.CheckOptions{Verify: true})
				if !h.Healthy() || h.Happiness != 10 {
					t.Errorf("afterwards: %s", h.Summary())
				}
			})
		}
	}
}

func check(tb testing.TB, f *mutable.Files, c caps.Cap, o transfer.CheckOptions) transfer.Health {
	tb.Helper()
	h, err := f.Check(context.Background(), verifyCap(tb, c), o)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// A writer without every share at hand writes all of the file anew.
func TestWriteAtWithoutAllShares(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	f := newFiles(t, servers, nil)
	data := contents(1, 500_000)
	c := create(t, f, ssk.MDMF, data)
	servers[3].Set(gridtest.Faults{Down: gridtest.ErrDown})
	patch := contents(2, 1000)
	if _, err := f.WriteAt(context.Background(), c, bytes.NewReader(patch), 200_000, 1000); err != nil {
		t.Fatal(err)
	}
	copy(data[200_000:], patch)
	mustRead(t, f, c, data)
	// The server that was down comes back with what it had: nobody is misled by it, and the next write takes it along.
	servers[3].Set(gridtest.Faults{})
	mustRead(t, f, c, data)
	if _, err := f.WriteAt(context.Background(), c, bytes.NewReader(patch), 0, 1000); err != nil {
		t.Fatal(err)
	}
	copy(data, patch)
	mustRead(t, f, c, data)
	if h := check(t, f, c, transfer.CheckOptions{Verify: true}); !h.Healthy() {
		t.Error(h.Summary())
	}
}

func TestModify(t *testing.T) {
	t.Parallel()
	f := newFiles(t, gridtest.New(10), nil)
	c := create(t, f, ssk.SDMF, []byte("one"))
	r, err := f.Modify(context.Background(), c, func(old []byte) ([]byte, error) { return append(old, " two"...), nil })
	if err != nil || r.Header.Seq != 2 {
		t.Fatalf("version %d, %v", r.Header.Seq, err)
	}
	mustRead(t, f, c, []byte("one two"))
	// Nothing changes: nothing is written.
	r, err = f.Modify(context.Background(), c, func(old []byte) ([]byte, error) { return old, nil })
	if err != nil || r.Header.Seq != 2 || r.Placement != nil {
		t.Fatalf("version %d, %v", r.Header.Seq, err)
	}
	mine := errors.New("mine")
	if _, err := f.Modify(context.Background(), c, func([]byte) ([]byte, error) { return nil, mine }); !errors.Is(err, mine) {
		t.Fatal(err)
	}
	readCap, _ := c.ReadOnly()
	if _, err := f.Modify(context.Background(), readCap, nil); !errors.Is(err, mutable.ErrNoWriteCap) {
		t.Fatal(err)
	}
}

func TestDirectoryCaps(t *testing.T) {
	t.Parallel()
	f := newFiles(t, gridtest.New(10), nil)
	c := create(t, f, ssk.MDMF, []byte("a directory"))
	dir, ok := c.Directory()
	if !ok {
		t.Fatal("no directory cap")
	}
	mustRead(t, f, dir, []byte("a directory"))
	r, err := overwrite(f, dir, []byte("changed"))
	if err != nil || !r.Cap.Equal(c) {
		t.Fatal(err)
	}
	mustRead(t, f, c, []byte("changed"))
}

func TestCreateTwice(t *testing.T) {
	t.Parallel()
	f := newFiles(t, gridtest.New(10), nil)
	c := create(t, f, ssk.SDMF, []byte("first"))
	_, err := f.Create(context.Background(), ssk.SDMF, testKeys()[0], bytes.NewReader(nil), 0)
	if !errors.Is(err, mutable.ErrExists) {
		t.Fatal(err)
	}
	mustRead(t, f, c, []byte("first"))
}

func TestNoSuchFile(t *testing.T) {
	t.Parallel()
	f := newFiles(t, gridtest.New(10), nil)
	c, err := testKeys()[0].Cap(caps.KindSDMF)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := overwrite(f, c, nil); !errors.Is(err, transfer.ErrNoShares) {
		t.Error(err)
	}
	if _, _, err := f.ReadAll(context.Background(), c, 10); !errors.Is(err, transfer.ErrNoShares) {
		t.Error(err)
	}
	if _, err := f.Modify(context.Background(), c, nil); !errors.Is(err, transfer.ErrNoShares) {
		t.Error(err)
	}
}

// Fewer servers than happiness wants, read-only ones included, are refused before anything is written.
func TestUnhappy(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]gridtest.Faults{
		"down": {Down: gridtest.ErrDown}, "read-only": {ReadOnly: true}, "hung": {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := gridtest.New(5)
			f := newFiles(t, servers, func(c *mutable.Config) { c.K, c.N, c.Happy, c.Timeout = 3, 5, 4, 500*1e6 })
			c := create(t, f, ssk.SDMF, []byte("first"))
			for _, s := range servers[2:] {
				s.Set(faults)
			}
			if _, err := overwrite(f, c, []byte("second")); !errors.Is(err, transfer.ErrUnhappy) && !errors.Is(err, transfer.ErrNotEnoughShares) {
				t.Errorf("overwriting: %v", err)
			}
			if _, err := f.Create(context.Background(), ssk.SDMF, testKeys()[1], bytes.NewReader(nil), 0); !errors.Is(err, transfer.ErrUnhappy) {
				t.Errorf("creating: %v", err)
			}
			for _, s := range servers {
				s.Set(gridtest.Faults{})
			}
			data := read(t, newFiles(t, servers, nil), c)
			if string(data) != "first" && string(data) != "second" {
				t.Errorf("found %q", data)
			}
		})
	}
}
