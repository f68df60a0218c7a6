package contact_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/caps"
	"trunkline/grid/contact"
	"trunkline/grid/longdistance"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
	"trunkline/p2p"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is a grid with one file.
type fixture struct {
	servers []*gridtest.Server
	verify  caps.CHKVerify
	now     time.Time
	mu      sync.Mutex
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{servers: gridtest.New(10), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	data := bytes.Repeat([]byte("long distance "), 10_000)
	r, err := transfer.Upload(t.Context(), transfer.UploadConfig{Secret: []byte("s"), MaxSegment: 16 << 10, Servers: f.transferServers()}, bytes.NewReader(data), uint64(len(data)))
	must(t, err)
	f.verify, _ = r.Cap.CHKVerify()
	return f
}

func (f *fixture) transferServers() []transfer.Server {
	out := make([]transfer.Server, len(f.servers))
	for i, s := range f.servers {
		out[i] = s
	}
	return out
}

// clock is the fixture's.
func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) turn(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) source(t *testing.T, edit ...func(*contact.Config)) *contact.Source {
	t.Helper()
	c := contact.Config{Servers: f.transferServers, Now: f.clock}
	for _, e := range edit {
		e(&c)
	}
	s := contact.NewSource(c)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func (f *fixture) request() longdistance.Request {
	return longdistance.Request{Cap: f.verify, Length: f.verify.Size}
}

// asked is how often servers were asked what they have.
func (f *fixture) asked() int {
	n := 0
	for _, s := range f.servers {
		n += s.Counts().Asked
	}
	return n
}

func read(ctx context.Context, s *contact.Source, r longdistance.Request) (int, error) {
	f, err := s.Open(ctx, r)
	if err != nil {
		return 0, err
	}
	n := 0
	err = f.Read(ctx, 0, f.Geometry().Segments, func(s transfer.Segment) error {
		n += len(s.Data)
		return nil
	})
	return n, errors.Join(err, f.Close())
}

// A file that was read lately is open still: nobody is asked for shares again.
// One that was not, or that had to make room, is.
func TestKeepsFilesOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.source(t)
	for range 3 {
		n, err := read(t.Context(), s, f.request())
		must(t, err)
		if uint64(n) != f.verify.Size {
			t.Errorf("read %d bytes", n)
		}
	}
	once := f.asked()
	if once > 2*len(f.servers) { // the upload asked, too
		t.Errorf("servers were asked %d times", once)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := read(context.Background(), s, f.request()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// An open file may still look for a spare share; opening it anew asks all.
	if n := f.asked(); n >= once+len(f.servers) {
		t.Errorf("servers were asked %d times more", n-once)
	}
}

func TestMakesRoom(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.source(t, func(c *contact.Config) { c.MaxFiles = 1 })
	open := func() longdistance.File {
		file, err := s.Open(t.Context(), f.request())
		must(t, err)
		return file
	}
	a, b := open(), open()
	must(t, a.Close())
	must(t, a.Close()) // twice is once
	must(t, b.Read(t.Context(), 0, 1, func(transfer.Segment) error { return nil }))
	must(t, b.Close())
	must(t, s.Close())
	if _, err := s.Open(t.Context(), f.request()); !errors.Is(err, p2p.ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}

// A reader that outlives the source ends in good order.
func TestCloseWhileRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.source(t)
	file, err := s.Open(t.Context(), f.request())
	must(t, err)
	must(t, s.Close())
	must(t, file.Read(t.Context(), 0, 1, func(transfer.Segment) error { return nil }))
	must(t, file.Close())
}

// A file that is not there is not looked for again for a while.
func TestAbsence(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.source(t)
	r := f.request()
	r.Cap.StorageIndex[0] ^= 1
	before := f.asked()
	for range 5 {
		if _, err := s.Open(t.Context(), r); !errors.Is(err, p2p.ErrNotFound) {
			t.Fatalf("got %v", err)
		}
	}
	first := f.asked() - before
	if first > len(f.servers) {
		t.Errorf("servers were asked %d times", first)
	}
	f.turn(contact.DefaultAbsence)
	if _, err := s.Open(t.Context(), r); !errors.Is(err, p2p.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if n := f.asked() - before; n != 2*first {
		t.Errorf("servers were asked %d times, and %d after a while", first, n-first)
	}
}

// What is wrong has the kind that tells the far side what to think.
func TestKinds(t *testing.T) {
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
		{"too_few", gridtest.Faults{Down: gridtest.ErrDown}, 9, nil, p2p.ErrUnavailable},
		{"corrupt", flip, 10, nil, p2p.ErrIntegrity},
		{"denied", gridtest.Faults{}, 0, func(c *contact.Config) {
			c.Deny = func(caps.Cap) error { return errors.New("by order of the operator") }
		}, p2p.ErrRefused},
		{"no_servers", gridtest.Faults{}, 0, func(c *contact.Config) { c.Servers = func() []transfer.Server { return nil } }, p2p.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for _, s := range f.servers[:tt.count] {
				s.Set(tt.faults)
			}
			var edits []func(*contact.Config)
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			s := f.source(t, edits...)
			if _, err := read(t.Context(), s, f.request()); !errors.Is(err, tt.want) || p2p.KindOf(err) != p2p.KindOf(tt.want) {
				t.Errorf("got %v", err)
			}
			// And it is not held against the file later.
			for _, s := range f.servers {
				s.Set(gridtest.Faults{})
			}
			if tt.edit == nil {
				_, err := read(t.Context(), s, f.request())
				must(t, err)
			}
		})
	}
}

// Who waits for a file that another opens does not fail with the other.
func TestLeaderLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for _, s := range f.servers {
			s.Set(gridtest.Faults{Hang: true})
		}
		s := f.source(t)
		ctx, cancel := context.WithCancel(t.Context())
		led, waited := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := read(ctx, s, f.request())
			led <- err
		}()
		synctest.Wait()
		go func() {
			_, err := read(context.Background(), s, f.request())
			waited <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-led; !errors.Is(err, context.Canceled) {
			t.Errorf("the leader got %v", err)
		}
		for _, s := range f.servers {
			s.Set(gridtest.Faults{})
		}
		must(t, <-waited)
	})
}
