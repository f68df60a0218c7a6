package storage_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"trunkline/grid/storage"
	"trunkline/grid/transfer/gridtest"
)

// A store does what the simple thing in memory does, change for change.
func TestSlotModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		s, m := openStore(t, storage.Config{NoSync: true}), gridtest.NewServer(0)
		applied := 0
		for range 150 {
			w := randomChange(rng, m.Slot(index(1)))
			got, err := s.TestWrite(index(1), w)
			want, wantErr := m.TestWrite(t.Context(), index(1), w)
			for _, refusal := range []error{storage.ErrEnabler, storage.ErrInvalid} {
				if errors.Is(err, refusal) != errors.Is(wantErr, refusal) {
					t.Fatalf("seed %d: %v, want %v", seed, err, wantErr)
				}
			}
			if (err == nil) != (wantErr == nil) || got.Applied != want.Applied || !sameRead(got.Read, want.Read) {
				t.Fatalf("seed %d: applied %v, %v; want %v, %v", seed, got.Applied, err, want.Applied, wantErr)
			}
			if got.Applied {
				applied++
			}
			read, err := s.ReadSlot(index(1), nil, []storage.Range{{Length: 1 << 20}})
			if err != nil {
				t.Fatal(err)
			}
			slot := m.Slot(index(1))
			if len(read) != len(slot) {
				t.Fatalf("seed %d: %d shares, want %d", seed, len(read), len(slot))
			}
			for num, data := range slot {
				if !bytes.Equal(read[num][0], data) {
					t.Fatalf("seed %d: share %d differs", seed, num)
				}
			}
		}
		if applied < 30 {
			t.Errorf("seed %d: only %d changes were applied", seed, applied)
		}
	}
}

func sameRead(a, b map[int][][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for num, parts := range a {
		if len(parts) != len(b[num]) {
			return false
		}
		for i := range parts {
			if !bytes.Equal(parts[i], b[num][i]) {
				return false
			}
		}
	}
	return true
}

// randomChange is a change of a few shares, mostly one that can be applied.
func randomChange(rng *rand.Rand, slot map[int][]byte) storage.TestWrite {
	w := storage.TestWrite{Enabler: [32]byte{5}, Renew: [32]byte{byte(rng.IntN(7))}}
	if len(slot) > 0 && rng.IntN(20) == 0 {
		w.Enabler[0]++
	}
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for range rng.IntN(3) {
		w.Reads = append(w.Reads, storage.Range{Offset: uint64(rng.IntN(300)), Length: uint64(rng.IntN(300))})
	}
	for _, num := range rng.Perm(4)[:1+rng.IntN(3)] {
		c := storage.ShareChange{Num: num}
		data := slot[num]
		for range rng.IntN(3) {
			at := storage.Range{Offset: uint64(rng.IntN(len(data) + 20)), Length: uint64(rng.IntN(40))}
			cut := at.Cut(uint64(len(data)))
			specimen := bytes.Clone(data[cut.Offset : cut.Offset+cut.Length])
			if len(specimen) > 0 && rng.IntN(15) == 0 {
				specimen[rng.IntN(len(specimen))]++
			}
			c.Tests = append(c.Tests, storage.Test{Offset: at.Offset, Size: at.Length, Specimen: specimen})
		}
		for range rng.IntN(4) {
			c.Writes = append(c.Writes, storage.Change{Offset: uint64(rng.IntN(400)), Data: bytesOf(rng.IntN(200))})
		}
		if rng.IntN(3) == 0 {
			c.Truncate, c.Length = true, uint64(rng.IntN(4)*rng.IntN(300))
		}
		w.Shares = append(w.Shares, c)
	}
	return w
}
