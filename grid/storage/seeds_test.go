package storage_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"trunkline/grid/storage/pb"
)

// frames is messages as they stand on a stream, each followed by its raw bytes if it is a write.
func frames(t testing.TB, requests ...*pb.Request) (b []byte) {
	t.Helper()
	for i, q := range requests {
		if q.GetId() == 0 {
			q.Id = uint64(i + 1)
		}
		m, err := proto.MarshalOptions{Deterministic: true}.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		b = append(protowire.AppendVarint(b, uint64(len(m))), m...)
		if w := q.GetSlotWrite(); w != nil && w.GetLength() <= 1<<20 {
			b = append(b, pattern(int(w.GetLength()))...)
		}
		if w := q.GetWrite(); w != nil && w.GetLength() <= 1<<20 {
			b = append(b, pattern(int(w.GetLength()))...)
		}
	}
	return b
}

func writeSeeds(t *testing.T) {
	container := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata/tahoe", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	v1 := container("storage-v1/shares/dh/dhwghgzvwsu4kbuqxkwv7qhm74/0")
	v2 := container("storage/shares/dh/dhwghgzvwsu4kbuqxkwv7qhm74/0")
	six := container("storage-leases/shares/dh/dhwghgzvwsu4kbuqxkwv7qhm74/0")
	mutable := container("storage-v1/shares/5k/5kc4lljjbnrwersipdbtnsqjay/0")
	si := index(1)
	list := &pb.Request{StorageIndex: si[:], Body: &pb.Request_List{List: &pb.List{}}}
	read := func(r ...*pb.Range) *pb.Request {
		return &pb.Request{StorageIndex: si[:], Body: &pb.Request_Read{Read: &pb.Read{Ranges: r}}}
	}
	allocate := func(size uint64, nums ...uint32) *pb.Request {
		return &pb.Request{StorageIndex: si[:], Body: &pb.Request_Allocate{Allocate: &pb.Allocate{
			Shares: nums, Size: size, RenewSecret: renew[:], CancelSecret: cancel[:],
		}}}
	}
	write := func(num uint32, off uint64, n uint32) *pb.Request {
		return &pb.Request{StorageIndex: si[:], Body: &pb.Request_Write{Write: &pb.Write{Share: num, Offset: off, Length: n}}}
	}
	commit := func(num uint32) *pb.Request {
		return &pb.Request{StorageIndex: si[:], Body: &pb.Request_Commit{Commit: &pb.Commit{Share: num}}}
	}
	abort := &pb.Request{StorageIndex: si[:], Body: &pb.Request_Abort{Abort: &pb.Abort{Share: 3}}}
	lease := &pb.Request{StorageIndex: si[:], Body: &pb.Request_AddLease{AddLease: &pb.AddLease{RenewSecret: renew[:], CancelSecret: cancel[:]}}}
	advise := &pb.Request{StorageIndex: si[:], Body: &pb.Request_Advise{Advise: &pb.Advise{Reason: "bad block"}}}
	slot := index(2)
	change := func(requests ...*pb.Request) []*pb.Request {
		for _, q := range requests {
			q.Id = 9
		}
		return requests
	}
	readSlot := func(nums []uint32, r ...*pb.SlotRange) *pb.Request {
		return &pb.Request{StorageIndex: slot[:], Body: &pb.Request_ReadSlot{ReadSlot: &pb.ReadSlot{Shares: nums, Ranges: r}}}
	}
	changed := container("storage-leases/shares/5k/5kc4lljjbnrwersipdbtnsqjay/0")
	cut := append([]byte(nil), mutable...)
	cut[92] = 0xff // where the extra leases are
	record := func(body string) []byte {
		h := sha256.Sum256([]byte(body))
		return []byte(body + "sha256 " + hex.EncodeToString(h[:]) + "\n")
	}
	head := "trunkline/slot-change/v1\n" + si.String() + "\n"
	zero, one := "replace 0 "+si.String()+"-0.1.trunkline\n", "replace 7 "+si.String()+"-1.2.trunkline\n"
	for target, seeds := range map[string][][]byte{
		"FuzzSlotContainer": {
			mutable, changed, cut, mutable[:468], mutable[:100], mutable[:32], changed[:len(changed)-50], append(mutable[:len(mutable):len(mutable)], 1, 2, 3), v2,
		},
		"FuzzChangeRecord": {
			record(head + zero + one), record(head + zero + "remove 1\n"), record(head + one), record(head), record(head + "replace 0 ../../../x.trunkline\n"),
			record(head + "remove 999\n"), record("trunkline/slot-change/v2\n"), []byte(head + zero), nil,
		},
		"FuzzContainer": {
			v1, v2, six, mutable, v2[:12], v2[:11], v2[:len(v2)-1], append(v2[:len(v2):len(v2)], 1, 2, 3),
			[]byte("\x00\x00\x00\x02\x00\x00\x00\x0a\xff\xff\xff\xff0123456789"), []byte("\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00"), nil,
		},
		"FuzzSpans": {
			{0, 10, 10, 20}, {10, 20, 0, 10}, {0, 5, 10, 15, 4, 11}, {5, 5, 9, 3}, {0, 255, 3, 4}, {1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 0, 1},
		},
		"FuzzRequests": {
			frames(t, list, read(&pb.Range{Length: 1000}), read(&pb.Range{Offset: 5, Length: 7}, &pb.Range{Length: 1})),
			frames(t, allocate(10, 2), commit(2), write(2, 0, 5)),
			frames(t, allocate(10, 3, 4), write(3, 0, 10), abort, write(3, 0, 10), write(4, 8, 8), commit(4)),
			frames(t, write(0, 0, 2000), write(9, 1<<63, 3), list),
			frames(t, read(&pb.Range{Offset: 1<<64 - 1, Length: 2}), read(&pb.Range{Length: 1<<64 - 1}), read()),
			frames(t, lease, advise, allocate(1<<48, 5)),
			frames(t, append(change(beginChange(slot, nil), mention(slot, 0, &pb.SlotTest{Size: 1}), slotWrite(slot, 0, 5, 500), applyChange(slot)), readSlot(nil, &pb.SlotRange{Length: 1 << 40}))...),
			frames(t, change(beginChange(slot, nil), mention(slot, 0), slotWrite(slot, 0, 1<<47, 5), applyChange(slot))...),
			frames(t, change(beginChange(slot, nil), mention(slot, 0), mention(slot, 1), slotWrite(slot, 1, 0, 5), dropChange(slot))...),
			frames(t, readSlot([]uint32{1, 300}), readSlot([]uint32{0}, &pb.SlotRange{Offset: 1<<64 - 1, Length: 1<<64 - 1})),
			frames(t, write(1, 0, 1<<32-1)),
			{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
			{0x80, 0x00},
			{5, 1},
			nil,
		},
	} {
		dir := filepath.Join("testdata/fuzz", target)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, seed := range seeds {
			text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", seed)
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("seed%02d", i)), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
