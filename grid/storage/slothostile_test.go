package storage_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

// Messages of a change of the slot index(2).
func beginChange(si caps.StorageIndex, edit func(*pb.TestWrite)) *pb.Request {
	secret := make([]byte, 32)
	t := &pb.TestWrite{WriteEnabler: secret, RenewSecret: secret, CancelSecret: secret}
	if edit != nil {
		edit(t)
	}
	return &pb.Request{StorageIndex: si[:], Body: &pb.Request_TestWrite{TestWrite: t}}
}

func mention(si caps.StorageIndex, num uint32, tests ...*pb.SlotTest) *pb.Request {
	return &pb.Request{StorageIndex: si[:], Body: &pb.Request_SlotShare{SlotShare: &pb.SlotShare{Share: num, Tests: tests}}}
}

func slotWrite(si caps.StorageIndex, num uint32, off uint64, n uint32) *pb.Request {
	return &pb.Request{StorageIndex: si[:], Body: &pb.Request_SlotWrite{SlotWrite: &pb.SlotWrite{Share: num, Offset: off, Length: n}}}
}

func applyChange(si caps.StorageIndex) *pb.Request {
	return &pb.Request{StorageIndex: si[:], Body: &pb.Request_SlotApply{SlotApply: &pb.SlotApply{}}}
}

func dropChange(si caps.StorageIndex) *pb.Request {
	return &pb.Request{StorageIndex: si[:], Body: &pb.Request_SlotDrop{SlotDrop: &pb.SlotDrop{}}}
}

// What a careless or hostile client can send of a change is refused once, when the change ends, nothing is left of it, and
// the stream goes on.
func TestServerSlotRefuses(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{MaxBytes: 1 << 20}, everybody)
	put(t, w.store, index(1), 0, pattern(100))
	si, other := index(2), index(3)
	tests := make([]*pb.SlotTest, 31)
	for i := range tests {
		tests[i] = &pb.SlotTest{}
	}
	ranges := make([]*pb.SlotRange, 31)
	for i := range ranges {
		ranges[i] = &pb.SlotRange{}
	}
	for name, test := range map[string]struct {
		requests []*pb.Request
		reason   uint32
	}{
		"nothing begun":         {[]*pb.Request{applyChange(si)}, 8},
		"only a share":          {[]*pb.Request{mention(si, 0), slotWrite(si, 0, 0, 9), applyChange(si)}, 8},
		"dropped":               {[]*pb.Request{beginChange(si, nil), mention(si, 0), slotWrite(si, 0, 0, 9), dropChange(si), applyChange(si)}, 8},
		"no share":              {[]*pb.Request{beginChange(si, nil), applyChange(si)}, 12},
		"short enabler":         {[]*pb.Request{beginChange(si, func(t *pb.TestWrite) { t.WriteEnabler = t.WriteEnabler[1:] }), mention(si, 0), slotWrite(si, 0, 0, 9), applyChange(si)}, 12},
		"no secrets":            {[]*pb.Request{beginChange(si, func(t *pb.TestWrite) { t.RenewSecret = nil }), mention(si, 0), applyChange(si)}, 12},
		"31 reads":              {[]*pb.Request{beginChange(si, func(t *pb.TestWrite) { t.Reads = ranges }), mention(si, 0), applyChange(si)}, 12},
		"read at 2^63":          {[]*pb.Request{beginChange(si, func(t *pb.TestWrite) { t.Reads = []*pb.SlotRange{{Offset: 1 << 63}} }), mention(si, 0), applyChange(si)}, 12},
		"no index":              {[]*pb.Request{beginChange(si, nil), {Body: mention(si, 0).GetBody()}, applyChange(si)}, 12},
		"another index":         {[]*pb.Request{beginChange(si, nil), mention(other, 0), slotWrite(si, 0, 0, 9), applyChange(si)}, 12},
		"another index applied": {[]*pb.Request{beginChange(si, nil), mention(si, 0), slotWrite(si, 0, 0, 9), applyChange(other)}, 12},
		"share 256":             {[]*pb.Request{beginChange(si, nil), mention(si, 256), applyChange(si)}, 12},
		"share twice":           {[]*pb.Request{beginChange(si, nil), mention(si, 1), mention(si, 1), applyChange(si)}, 12},
		"31 tests":              {[]*pb.Request{beginChange(si, nil), mention(si, 1, tests...), applyChange(si)}, 12},
		"long specimen":         {[]*pb.Request{beginChange(si, nil), mention(si, 1, &pb.SlotTest{Size: 5000, Specimen: pattern(5000)}), applyChange(si)}, 12},
		"unmentioned":           {[]*pb.Request{beginChange(si, nil), mention(si, 1), slotWrite(si, 2, 0, 9), applyChange(si)}, 12},
		"write to 2^64":         {[]*pb.Request{beginChange(si, nil), mention(si, 1), slotWrite(si, 1, 1<<64-4, 9), applyChange(si)}, 12},
		"write to 2^47":         {[]*pb.Request{beginChange(si, nil), mention(si, 1), slotWrite(si, 1, 1<<47, 9), applyChange(si)}, 4},
		"more than fits":        {[]*pb.Request{beginChange(si, nil), mention(si, 1), slotWrite(si, 1, 0, 1<<20), slotWrite(si, 1, 1<<20, 1<<20), applyChange(si)}, 4},
		"immutable":             {[]*pb.Request{beginChange(index(1), nil), mention(index(1), 1), slotWrite(index(1), 1, 0, 9), applyChange(index(1))}, 14},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.open(t)
			for _, q := range test.requests {
				q.Id = 7
				if err := s.SendData(q, pattern(int(q.GetSlotWrite().GetLength()))); err != nil {
					t.Fatal(err)
				}
			}
			var a pb.Answer
			if err := s.Receive(&a, maxMessage); err != nil {
				t.Fatal(err)
			}
			if a.GetId() != 7 || a.GetRefusal().GetReason() != test.reason {
				t.Errorf("answered %v, want reason %d", &a, test.reason)
			}
			if n, promised := w.store.TestingOnlyStaged(); n != 0 || promised != 0 {
				t.Errorf("%d files are left, %d bytes promised", n, promised)
			}
			list := &pb.Request{Id: 8, StorageIndex: si[:], Body: &pb.Request_List{List: &pb.List{}}}
			if err := s.Send(list); err != nil {
				t.Fatal(err)
			}
			if err := s.Receive(&a, maxMessage); err != nil || a.GetId() != 8 || a.GetShares() == nil {
				t.Errorf("the stream does not go on: %v, %v", &a, err)
			}
		})
	}
	if n := w.server.TestingOnlyPeers(); n != 0 {
		t.Errorf("%d peers have uploads open", n)
	}
}

// What leaves the place of the next request unknown, or mixes changes up, ends the stream.
func TestServerSlotResets(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	si := index(2)
	for name, requests := range map[string][]*pb.Request{
		"write of 1 MiB and a byte": {slotWrite(si, 0, 0, 1<<20+1)},
		"write of 4 GiB":            {slotWrite(si, 0, 0, 1<<32-1)},
		"begun twice":               {beginChange(si, nil), mention(si, 0), beginChange(si, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.open(t)
			for _, q := range requests {
				if err := s.Send(q); err != nil {
					t.Fatal(err)
				}
			}
			var a pb.Answer
			if err := s.Receive(&a, maxMessage); !errors.Is(err, p2p.ErrMalformed) {
				t.Errorf("got %v, %v", &a, err)
			}
		})
	}
}

// A client that begins changes and disconnects leaves nothing; one that begins too many is told so.
func TestServerSlotAbandoned(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	s := w.open(t)
	si := index(2)
	const begun = 300
	for i := range uint64(begun) {
		for _, q := range []*pb.Request{beginChange(si, nil), mention(si, 3), slotWrite(si, 3, 0, 10)} {
			q.Id = i
			if err := s.SendData(q, pattern(int(q.GetSlotWrite().GetLength()))); err != nil {
				t.Fatal(err)
			}
		}
	}
	q := applyChange(si)
	q.Id = begun - 1
	if err := s.Send(q); err != nil {
		t.Fatal(err)
	}
	var a pb.Answer
	if err := s.Receive(&a, maxMessage); err != nil || a.GetRefusal().GetReason() != 9 {
		t.Errorf("one change too many: %v, %v", &a, err)
	}
	if n, _ := w.store.TestingOnlyStaged(); n == 0 || n > 256 {
		t.Errorf("%d changes are under way", n)
	}
	s.Reset()
	eventually(t, func() bool { n, promised := w.store.TestingOnlyStaged(); return n == 0 && promised == 0 })
	eventually(t, func() bool { return w.server.TestingOnlyPeers() == 0 })
	if read, err := w.remote.ReadSlot(t.Context(), si, nil, nil); err != nil || len(read) != 0 {
		t.Errorf("shares are there: %v, %v", read, err)
	}
}

// A change that its caller gave up while it was being sent leaves nothing, and the others on the stream go on.
func TestRemoteSlotCancel(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{NoSync: true}, everybody)
	data := pattern(8 << 20)
	for i := range 40 {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range i % 4 {
				_, _ = w.remote.ReadSlot(t.Context(), index(9), nil, nil)
			}
			stop()
		}()
		r, err := w.remote.TestWrite(ctx, index(2), storage.TestWrite{Shares: []storage.ShareChange{
			{Num: 0, Writes: []storage.Change{{Data: data}}},
		}})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err == nil && !r.Applied {
			t.Fatal("not applied")
		}
		<-done
	}
	eventually(t, func() bool { n, promised := w.store.TestingOnlyStaged(); return n == 0 && promised == 0 })
	read, err := w.remote.ReadSlot(t.Context(), index(2), nil, []storage.Range{{Offset: 0, Length: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if len(read) > 0 {
		mustEqual(t, read[0][0], data)
	}
}

// A server that lies in its framing of a slot loses the stream, and nothing of it is believed.
func TestRemoteHostileSlot(t *testing.T) {
	t.Parallel()
	part := func(id uint64, num uint32, lengths ...uint64) *pb.Answer {
		return &pb.Answer{Id: id, Body: &pb.Answer_SlotPart{SlotPart: &pb.SlotPart{Share: num, Lengths: lengths}}}
	}
	data := func(id uint64, n int, last bool) *pb.Answer {
		return &pb.Answer{Id: id, Body: &pb.Answer_Data{Data: &pb.Data{Length: uint32(n), Last: last}}}
	}
	end := func(id uint64) *pb.Answer {
		return &pb.Answer{Id: id, Body: &pb.Answer_SlotEnd{SlotEnd: &pb.SlotEnd{Applied: true}}}
	}
	tests := map[string]struct {
		answer func(s *p2p.Stream, id uint64) error
		want   error
	}{
		"share not asked for": {func(s *p2p.Stream, id uint64) error {
			return s.Send(part(id, 5, 0, 0))
		}, p2p.ErrMalformed},
		"share 256": {func(s *p2p.Stream, id uint64) error {
			return s.Send(part(id, 256, 0, 0))
		}, p2p.ErrMalformed},
		"share twice": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.Send(part(id, 3, 0, 0)), s.Send(part(id, 3, 0, 0)))
		}, p2p.ErrMalformed},
		"too few ranges": {func(s *p2p.Stream, id uint64) error {
			return s.Send(part(id, 3, 1))
		}, p2p.ErrMalformed},
		"too many ranges": {func(s *p2p.Stream, id uint64) error {
			return s.Send(part(id, 3, 1, 1, 1))
		}, p2p.ErrMalformed},
		"longer than asked": {func(s *p2p.Stream, id uint64) error {
			return s.Send(part(id, 3, 61, 0))
		}, p2p.ErrMalformed},
		"more than one reading brings": {func(s *p2p.Stream, id uint64) error {
			return s.Send(part(id, 3, 0, 1<<40))
		}, p2p.ErrMalformed},
		"more data than announced": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.Send(part(id, 3, 60, 40)), s.SendData(data(id, 101, true), pattern(101)))
		}, p2p.ErrMalformed},
		"less data than announced": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.Send(part(id, 3, 60, 40)), s.SendData(data(id, 99, true), pattern(99)))
		}, p2p.ErrMalformed},
		"data before a share": {func(s *p2p.Stream, id uint64) error {
			return s.SendData(data(id, 10, true), pattern(10))
		}, p2p.ErrMalformed},
		"no data": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.Send(part(id, 3, 60, 40)), s.Send(end(id)))
		}, p2p.ErrMalformed},
		"next share too early": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.Send(part(id, 3, 60, 40)), s.Send(part(id, 4, 0, 0)))
		}, p2p.ErrMalformed},
		"another kind": {func(s *p2p.Stream, id uint64) error {
			return s.Send(&pb.Answer{Id: id, Body: &pb.Answer_Done{Done: &pb.Done{}}})
		}, p2p.ErrMalformed},
		"the end inside": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.Send(part(id, 3, 60, 40)), s.SendData(data(id, 100, true), pattern(50)), s.Close())
		}, p2p.ErrUnavailable},
		"refused in the middle": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.Send(part(id, 3, 60, 40)), s.SendData(data(id, 50, false), pattern(50)),
				s.Send(&pb.Answer{Id: id, Body: &pb.Answer_Refusal{Refusal: &pb.Refusal{Failure: p2p.Failure(storage.ErrDamaged), Reason: 11}}}))
		}, storage.ErrDamaged},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hosts := p2ptest.Hosts(t, 2)
			hosts[0].Handle(storage.Protocol, func(_ context.Context, s *p2p.Stream) error {
				var q pb.Request
				if err := s.Receive(&q, maxMessage); err != nil {
					return err
				}
				// A share that nobody asked for is dropped, its bytes and all.
				if err := errors.Join(s.Send(part(1<<40, 3, 1<<60)), s.SendData(data(1<<40, 70_000, true), pattern(70_000))); err != nil {
					return err
				}
				if err := test.answer(s, q.GetId()); err != nil {
					return err
				}
				var more pb.Request
				if err := s.Receive(&more, maxMessage); !errors.Is(err, io.EOF) {
					return err
				}
				return nil
			})
			r := storage.NewRemote(hosts[1], hosts[0].Self(), [20]byte{})
			defer r.Close()
			read, err := r.ReadSlot(t.Context(), index(1), []int{3, 4}, []storage.Range{{0, 60}, {60, 1 << 41}})
			if !errors.Is(err, test.want) || read != nil {
				t.Errorf("got %v, %v, want %v", read, err, test.want)
			}
		})
	}
}
