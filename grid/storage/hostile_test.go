package storage_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"trunkline/grid/storage"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

const maxMessage = 8 << 10

func (w *wire) open(t testing.TB) *p2p.Stream {
	t.Helper()
	s, err := w.client.Open(t.Context(), w.host.Self(), storage.Protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Reset)
	return s
}

// What a careless or hostile client can put in a request is refused by its number, and the stream goes
// on.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	put(t, w.store, index(1), 0, pattern(100))
	si := index(1)
	ranges := func(r ...*pb.Range) *pb.Request_Read {
		return &pb.Request_Read{Read: &pb.Read{Ranges: r}}
	}
	many := make([]*pb.Range, 257)
	large := make([]*pb.Range, 3)
	for i := range many {
		many[i] = &pb.Range{Length: 1}
	}
	for i := range large {
		large[i] = &pb.Range{Length: 2 << 20}
	}
	secret := make([]byte, 32)
	numbers := make([]uint32, 300)
	tests := map[string]struct {
		request *pb.Request
		kind    p2p.ErrorKind
		reason  uint32
	}{
		"no storage index":     {&pb.Request{Body: &pb.Request_List{List: &pb.List{}}}, p2p.Malformed, 12},
		"long storage index":   {&pb.Request{StorageIndex: make([]byte, 17), Body: &pb.Request_List{List: &pb.List{}}}, p2p.Malformed, 12},
		"no body":              {&pb.Request{StorageIndex: si[:]}, p2p.Malformed, 12},
		"no ranges":            {&pb.Request{StorageIndex: si[:], Body: ranges()}, p2p.Malformed, 12},
		"empty range":          {&pb.Request{StorageIndex: si[:], Body: ranges(&pb.Range{})}, p2p.Malformed, 12},
		"257 ranges":           {&pb.Request{StorageIndex: si[:], Body: ranges(many...)}, p2p.Malformed, 12},
		"6 MiB in ranges":      {&pb.Request{StorageIndex: si[:], Body: ranges(large...)}, p2p.Malformed, 12},
		"length 2^64-1":        {&pb.Request{StorageIndex: si[:], Body: ranges(&pb.Range{Length: 1<<64 - 1})}, p2p.Malformed, 12},
		"offset+length wraps":  {&pb.Request{StorageIndex: si[:], Body: ranges(&pb.Range{Offset: 1<<64 - 1, Length: 2})}, p2p.Malformed, 12},
		"offset 2^63-1":        {&pb.Request{StorageIndex: si[:], Body: ranges(&pb.Range{Offset: 1<<63 - 1, Length: 2})}, p2p.Malformed, 12},
		"one good one bad":     {&pb.Request{StorageIndex: si[:], Body: ranges(&pb.Range{Length: 1}, &pb.Range{Offset: 100, Length: 1})}, p2p.TooLarge, 2},
		"share -1":             {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Read{Read: &pb.Read{Share: 1<<32 - 1, Ranges: large}}}, p2p.Malformed, 12},
		"commit unopened":      {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Commit{Commit: &pb.Commit{Share: 1}}}, p2p.NotFound, 8},
		"commit share 256":     {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Commit{Commit: &pb.Commit{Share: 256}}}, p2p.Malformed, 12},
		"abort unopened":       {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Abort{Abort: &pb.Abort{}}}, p2p.NotFound, 8},
		"lease without secret": {&pb.Request{StorageIndex: si[:], Body: &pb.Request_AddLease{AddLease: &pb.AddLease{RenewSecret: secret}}}, p2p.Malformed, 12},
		"advise without words": {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Advise{Advise: &pb.Advise{}}}, p2p.Malformed, 12},
		"allocate 300":         {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Allocate{Allocate: &pb.Allocate{Shares: numbers, Size: 1, RenewSecret: secret, CancelSecret: secret}}}, p2p.Malformed, 12},
		"allocate twice":       {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Allocate{Allocate: &pb.Allocate{Shares: []uint32{3, 3}, Size: 1, RenewSecret: secret, CancelSecret: secret}}}, p2p.Malformed, 12},
		"allocate share 256":   {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Allocate{Allocate: &pb.Allocate{Shares: []uint32{256}, Size: 1, RenewSecret: secret, CancelSecret: secret}}}, p2p.Malformed, 12},
		"allocate 2^63 bytes":  {&pb.Request{StorageIndex: si[:], Body: &pb.Request_Allocate{Allocate: &pb.Allocate{Shares: []uint32{3}, Size: 1 << 63, RenewSecret: secret, CancelSecret: secret}}}, p2p.Malformed, 12},
		"allocate 256 TiB":     {&pb.Request{StorageIndex: make([]byte, 16), Body: &pb.Request_Allocate{Allocate: &pb.Allocate{Shares: []uint32{3}, Size: 1 << 48, RenewSecret: secret, CancelSecret: secret}}}, p2p.Refused, 4},
	}
	s := w.open(t)
	id := uint64(0)
	for name, test := range tests {
		id++
		test.request.Id = id
		if err := s.Send(test.request); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var a pb.Answer
		if err := s.Receive(&a, maxMessage); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := a.GetRefusal()
		if a.GetId() != id || r == nil || p2p.ErrorKind(r.GetFailure().GetKind()) != test.kind || r.GetReason() != test.reason {
			t.Errorf("%s: answered %v", name, &a)
		}
	}
	// A write of a share that is not open, and with a bad index: its bytes do not become requests.
	for _, index := range [][]byte{si[:], nil} {
		id++
		q := &pb.Request{Id: id, StorageIndex: index, Body: &pb.Request_Write{Write: &pb.Write{Share: 1, Length: 500_000}}}
		if err := s.SendData(q, pattern(500_000)); err != nil {
			t.Fatal(err)
		}
		var a pb.Answer
		if err := s.Receive(&a, maxMessage); err != nil || a.GetId() != id || a.GetRefusal() == nil {
			t.Fatalf("answered %v, %v", &a, err)
		}
	}
}

// What leaves the place of the next request unknown ends the stream.
func TestServerResets(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	si := index(1)
	for name, test := range map[string]struct {
		send func(s *p2p.Stream) error
		want error
	}{
		"write of nothing": {func(s *p2p.Stream) error {
			return s.Send(&pb.Request{StorageIndex: si[:], Body: &pb.Request_Write{Write: &pb.Write{}}})
		}, p2p.ErrMalformed},
		"write of 4 GiB": {func(s *p2p.Stream) error {
			return s.Send(&pb.Request{StorageIndex: si[:], Body: &pb.Request_Write{Write: &pb.Write{Length: 1<<32 - 1}}})
		}, p2p.ErrMalformed},
		"request of 9 KiB": {func(s *p2p.Stream) error {
			return s.Send(&pb.Request{StorageIndex: make([]byte, 9<<10)})
		}, p2p.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.open(t)
			if err := test.send(s); err != nil {
				t.Fatal(err)
			}
			var a pb.Answer
			if err := s.Receive(&a, maxMessage); !errors.Is(err, test.want) {
				t.Errorf("got %v, %v", &a, err)
			}
		})
	}
}

// A client that asks 5000 times for 4 MiB and reads nothing costs the server one request's buffer: the
// rest waits in the client. Another client is served meanwhile.
func TestServerUnreadAnswers(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	put(t, w.store, index(1), 0, pattern(4<<20))
	si := index(1)
	s := w.open(t)
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		s.SetStepTimeout(2 * time.Second)
		for range 5000 {
			q := &pb.Request{StorageIndex: si[:], Body: &pb.Request_Read{Read: &pb.Read{Ranges: []*pb.Range{{Length: 4 << 20}}}}}
			if s.Send(q) != nil {
				return
			}
		}
	}()
	for range 20 {
		b := make([]byte, 1000)
		if err := w.remote.Read(t.Context(), si, 0, []storage.Range{{5, 1000}}, [][]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	<-stuck
	s.Reset()
	eventually(t, func() bool {
		return w.remote.Read(t.Context(), si, 0, []storage.Range{{5, 1}}, [][]byte{{0}}) == nil
	})
}

// One peer cannot open uploads without end, and what it may open comes back when it is done.
func TestServerUploadsPerPeer(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{NoSync: true}, everybody)
	nums := make([]int, 256)
	for i := range nums {
		nums[i] = i
	}
	for i := range byte(storage.MaxUploadsPerPeer / 256) {
		if _, allocated, err := w.remote.Allocate(t.Context(), index(i), nums, 10, renew, cancel); err != nil || len(allocated) != 256 {
			t.Fatalf("%d allocated, %v", len(allocated), err)
		}
	}
	second := w.newRemote(t)
	if _, _, err := second.Allocate(t.Context(), index(100), nums[:1], 10, renew, cancel); !errors.Is(err, storage.ErrTooMany) || !errors.Is(err, p2p.ErrBusy) {
		t.Fatalf("one more: %v", err)
	}
	if err := w.remote.Abort(t.Context(), index(0), 0); err != nil {
		t.Fatal(err)
	}
	if _, allocated, err := second.Allocate(t.Context(), index(100), nums[:1], 10, renew, cancel); err != nil || len(allocated) != 1 {
		t.Fatalf("after one ended: %v, %v", allocated, err)
	}
}

// A server that lies in its framing loses the stream; nothing is written outside the buffers given.
func TestRemoteHostileServer(t *testing.T) {
	t.Parallel()
	data := func(id uint64, n int, last bool) *pb.Answer {
		return &pb.Answer{Id: id, Body: &pb.Answer_Data{Data: &pb.Data{Length: uint32(n), Last: last}}}
	}
	tests := map[string]struct {
		answer func(s *p2p.Stream, id uint64) error
		want   error
	}{
		"more than asked": {func(s *p2p.Stream, id uint64) error {
			return s.SendData(data(id, 101, true), pattern(101))
		}, p2p.ErrMalformed},
		"fewer than asked": {func(s *p2p.Stream, id uint64) error {
			return s.SendData(data(id, 99, true), pattern(99))
		}, p2p.ErrMalformed},
		"a frame of nothing": {func(s *p2p.Stream, id uint64) error {
			return s.SendData(data(id, 0, true), nil)
		}, p2p.ErrMalformed},
		"a frame of 4 GiB": {func(s *p2p.Stream, id uint64) error {
			return s.SendData(data(id, 1<<32-1, true), pattern(100))
		}, p2p.ErrMalformed},
		"an unasked frame of 4 GiB": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.SendData(data(1<<41, 1<<32-1, true), nil), s.SendData(data(id, 100, true), pattern(100)))
		}, p2p.ErrMalformed},
		"done without data": {func(s *p2p.Stream, id uint64) error {
			return s.Send(&pb.Answer{Id: id, Body: &pb.Answer_Done{Done: &pb.Done{}}})
		}, p2p.ErrMalformed},
		"an answer of 9 KiB": {func(s *p2p.Stream, id uint64) error {
			big := &pb.Refusal{Failure: p2p.Failure(p2p.ErrDenied)}
			big.Failure.Text = string(make([]byte, 9<<10))
			return s.Send(&pb.Answer{Id: id, Body: &pb.Answer_Refusal{Refusal: big}})
		}, p2p.ErrTooLarge},
		"the end": {func(s *p2p.Stream, _ uint64) error {
			return s.Close()
		}, p2p.ErrUnavailable},
		"the end inside": {func(s *p2p.Stream, id uint64) error {
			return errors.Join(s.SendData(data(id, 100, true), pattern(50)), s.Close())
		}, p2p.ErrUnavailable},
		"an unknown reason": {func(s *p2p.Stream, id uint64) error {
			return s.Send(&pb.Answer{Id: id, Body: &pb.Answer_Refusal{Refusal: &pb.Refusal{Failure: p2p.Failure(p2p.ErrUnpaid), Reason: 99}}})
		}, p2p.ErrUnpaid},
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
				// An answer that nobody asked for is dropped, its bytes and all.
				if err := s.SendData(data(1<<40, 70_000, true), pattern(70_000)); err != nil {
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
			guarded := make([]byte, 300)
			err := r.Read(t.Context(), index(1), 0, []storage.Range{{0, 60}, {60, 40}}, [][]byte{guarded[100:160:160], guarded[160:200:200]})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			for i, b := range guarded {
				if (i < 100 || i >= 200) && b != 0 {
					t.Fatalf("byte %d outside the buffers was written", i)
				}
			}
		})
	}
}

// Answers to an allocation that was not so asked.
func TestRemoteHostileAllocation(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]*pb.Allocated{
		"not asked for": {Allocated: []uint32{9}},
		"twice":         {Allocated: []uint32{1, 1}},
		"both":          {Have: []uint32{1}, Allocated: []uint32{1}},
		"out of bounds": {Have: []uint32{1 << 31}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hosts := p2ptest.Hosts(t, 2)
			hosts[0].Handle(storage.Protocol, func(_ context.Context, s *p2p.Stream) error {
				var q pb.Request
				if err := s.Receive(&q, maxMessage); err != nil {
					return err
				}
				err := s.Send(&pb.Answer{Id: q.GetId(), Body: &pb.Answer_Allocated{Allocated: answer}})
				_ = s.Receive(&q, maxMessage)
				return err
			})
			r := storage.NewRemote(hosts[1], hosts[0].Self(), [20]byte{})
			defer r.Close()
			if _, _, err := r.Allocate(t.Context(), index(1), []int{1, 2}, 1, renew, cancel); !errors.Is(err, p2p.ErrMalformed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A server that stalls inside a frame does not hold a cancelled caller, nor write to it afterwards.
func TestRemoteCancelStalled(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	hosts[0].Handle(storage.Protocol, func(ctx context.Context, s *p2p.Stream) error {
		var q pb.Request
		if err := s.Receive(&q, maxMessage); err != nil {
			return err
		}
		a := &pb.Answer{Id: q.GetId(), Body: &pb.Answer_Data{Data: &pb.Data{Length: 100, Last: true}}}
		if err := s.SendData(a, pattern(50)); err != nil {
			return err
		}
		s.SetStepTimeout(time.Hour) // until the client gives the stream up
		return s.Receive(&q, maxMessage)
	})
	r := storage.NewRemote(hosts[1], hosts[0].Self(), [20]byte{})
	defer r.Close()
	ctx, stop := context.WithCancel(t.Context())
	b := make([]byte, 100)
	done := make(chan error)
	go func() { done <- r.Read(ctx, index(1), 0, []storage.Range{{0, 100}}, [][]byte{b}) }()
	eventually(t, r.TestingOnlyFilling)
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	clear(b)
}
