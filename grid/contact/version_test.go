package contact_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"trunkline/caps"
	"trunkline/grid/contact"
	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer/gridtest"
	"trunkline/p2p"
)

// changeable puts a mutable file on the fixture's servers.
func changeable(t *testing.T, f *fixture, format ssk.Format, contents []byte) (*mutable.Files, caps.Cap) {
	t.Helper()
	files, err := mutable.New(mutable.Config{Servers: f.transferServers})
	must(t, err)
	r, err := files.Create(t.Context(), format, nil, bytes.NewReader(contents), uint64(len(contents)))
	must(t, err)
	return files, r.Cap
}

func wish(write caps.Cap) longdistance.Request {
	v, _ := write.MutableVerify()
	return longdistance.Request{Mutable: &longdistance.Wish{Cap: v}, Length: 1 << 63}
}

// open reads a version as who asks from another grid would, and decrypts it.
func open(ctx context.Context, t *testing.T, v longdistance.Version, write caps.Cap) ([]byte, error) {
	t.Helper()
	key, _ := write.MutableReadKey()
	var out bytes.Buffer
	h := v.Header()
	opener, err := mutable.NewOpener(h, key, 0, h.Length, &out)
	must(t, err)
	prover, receiver := ssk.NewProver(), ssk.NewReceiver(h)
	verify, _ := write.MutableVerify()
	must(t, ssk.VerifySignature(verify, h, v.PublicKey(), v.Signature()))
	err = v.ReadBlocks(ctx, 0, h.Segments(), func(b longdistance.Blocks) error {
		var blocks []ssk.Block
		for i, s := range b.Shares {
			block, err := prover.Block(s, b.Index, b.Entries[i])
			must(t, err)
			blocks = append(blocks, block)
		}
		must(t, receiver.Check(b.Index, blocks))
		return opener.Write(b.Index, blocks)
	})
	return out.Bytes(), err
}

// A mutable file is looked for each time: what was written last is what is
// served, also right after it was not there.
func TestVersionsAreNotKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	contents := bytes.Repeat([]byte("party line "), 40_000)
	files, write := changeable(t, f, ssk.MDMF, contents)
	s := f.source(t, func(c *contact.Config) { c.Mutable = files })
	si, _ := write.StorageIndex()
	for round := range 3 {
		v, err := s.OpenMutable(t.Context(), wish(write))
		must(t, err)
		got, err := open(t.Context(), t, v, write)
		must(t, err)
		if !bytes.Equal(got, contents) {
			t.Fatalf("round %d: %d bytes, or wrong ones", round, len(got))
		}
		must(t, v.Close())
		contents = append(contents, byte(round))
		_, err = files.Overwrite(t.Context(), write, bytes.NewReader(contents), uint64(len(contents)))
		must(t, err)
	}
	slots := make([]map[int][]byte, len(f.servers))
	enabler := make([][32]byte, len(f.servers))
	for i, server := range f.servers {
		slots[i], enabler[i] = server.Slot(si), server.Enabler(si)
		server.PutSlot(si, enabler[i], nil)
	}
	if _, err := s.OpenMutable(t.Context(), wish(write)); !errors.Is(err, p2p.ErrNotFound) {
		t.Errorf("a file that is gone: %v", err)
	}
	for i, server := range f.servers {
		server.PutSlot(si, enabler[i], slots[i])
	}
	v, err := s.OpenMutable(t.Context(), wish(write))
	must(t, err)
	must(t, v.Close())
}

// A version that is overwritten while it is served says that it changed.
func TestVersionOverwritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	contents := bytes.Repeat([]byte("crossed lines "), 3<<20)
	files, write := changeable(t, f, ssk.MDMF, contents)
	s := f.source(t, func(c *contact.Config) { c.Mutable = files })
	v, err := s.OpenMutable(t.Context(), wish(write))
	must(t, err)
	_, err = files.Overwrite(t.Context(), write, bytes.NewReader(contents), uint64(len(contents)))
	must(t, err)
	got, err := open(t.Context(), t, v, write)
	if !errors.Is(err, longdistance.ErrChanged) || !bytes.HasPrefix(contents, got) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	must(t, v.Close())
}

// What is wrong with a mutable file has the kind that tells the far side what to
// think.
func TestVersionKinds(t *testing.T) {
	t.Parallel()
	flip := gridtest.Faults{Lie: func(_ caps.StorageIndex, _ int, _ uint64, data []byte) {
		for i := range data {
			data[i] ^= 1
		}
	}}
	tests := []struct {
		name   string
		faults gridtest.Faults
		count  int
		edit   func(*contact.Config)
		want   error
	}{
		{"down", gridtest.Faults{Down: gridtest.ErrDown}, 10, nil, p2p.ErrUnavailable},
		{"too_few", gridtest.Faults{Down: gridtest.ErrDown}, 8, nil, p2p.ErrUnavailable},
		{"corrupt", flip, 10, nil, p2p.ErrIntegrity},
		{"none", gridtest.Faults{}, 0, func(c *contact.Config) { c.Mutable = nil }, p2p.ErrUnsupported},
		{"denied", gridtest.Faults{}, 0, func(c *contact.Config) {
			c.Deny = func(v caps.Cap) error {
				if !v.Kind().IsVerify() {
					t.Error("a source sees more than a verify cap")
				}
				return errors.New("by order of the operator")
			}
		}, p2p.ErrRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			files, write := changeable(t, f, ssk.SDMF, []byte("who is there?"))
			for _, s := range f.servers[:tt.count] {
				s.Set(tt.faults)
			}
			s := f.source(t, func(c *contact.Config) {
				c.Mutable = files
				if tt.edit != nil {
					tt.edit(c)
				}
			})
			v, err := s.OpenMutable(t.Context(), wish(write))
			if err == nil {
				_, err = open(t.Context(), t, v, write)
				must(t, v.Close())
			}
			if !errors.Is(err, tt.want) || p2p.KindOf(err) != p2p.KindOf(tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
