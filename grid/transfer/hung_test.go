package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// Of ten servers i hang, j refuse and k are good, for every mix, in virtual
// time: the read ends well exactly if k >= 3, soon, and without reading much
// more than it must.
func TestHungRefusingGood(t *testing.T) {
	t.Parallel()
	const timeout = 15 * time.Second
	st := store(t, plaintext(1_500_000), 50_000)
	for how, hang := range map[string]gridtest.Faults{
		"all-calls": {Hang: true},
		"reads":     {HangFor: map[string]bool{"Read": true}},
		// Just after the probe of the share's end.
		"blocks": {HangAfter: 10_000},
	} {
		for hung := 0; hung <= 10; hung++ {
			for refusing := 0; hung+refusing <= 10; refusing++ {
				good := 10 - hung - refusing
				t.Run(fmt.Sprintf("%s/hung-%d/refusing-%d/good-%d", how, hung, refusing, good), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
						for i, s := range servers {
							switch f := (gridtest.Faults{Latency: 10 * time.Millisecond, Rate: 10e6}); {
							case i < hung:
								f.Hang, f.HangFor, f.HangAfter = hang.Hang, hang.HangFor, hang.HangAfter
								s.Set(f)
							case i < hung+refusing:
								s.Set(gridtest.Faults{Down: gridtest.ErrDown})
							default:
								s.Set(f)
							}
						}
						start := time.Now()
						ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers), Timeout: timeout}, st.v)
						took := time.Since(start)
						if !bytes.Equal(ciphertext, st.cipher[:len(ciphertext)]) {
							t.Fatal("wrong bytes came out")
						}
						if good < 3 {
							var few *transfer.NotEnoughSharesError
							if !errors.As(err, &few) || few.Need != 3 || few.Found > 3 {
								t.Fatalf("with %d good servers: %v", good, err)
							}
							if len(blamed) < 1 || took > 4*timeout {
								t.Errorf("after %v: blamed %v", took, blamed)
							}
							return
						}
						if err != nil {
							t.Fatalf("%v, after %v", err, took)
						}
						// Alone, three servers take 0.1 s for the bytes.
						if took > 2*time.Second {
							t.Errorf("took %v", took)
						}
						if n := moved(servers); n > int64(len(st.cipher))*13/10+100_000 {
							t.Errorf("read %d bytes for %d", n, len(st.cipher))
						}
					})
				})
			}
		}
	}
}

func TestFirstByteDoesNotWait(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(3_000_000), 100_000)
	first := func(t *testing.T, servers []*gridtest.Server) (took time.Duration) {
		start := time.Now()
		f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		stop := errors.New("stop")
		if err := f.Read(t.Context(), 0, 1, func(transfer.Segment) error { took = time.Since(start); return stop }); !errors.Is(err, stop) {
			t.Fatal(err)
		}
		return took
	}
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		for _, s := range servers {
			s.Set(gridtest.Faults{Latency: 20 * time.Millisecond})
		}
		if took := first(t, servers); took > 60*time.Millisecond {
			t.Errorf("the first byte took %v, three round trips are 60ms", took)
		}
		for i := range 7 {
			servers[i].Set(gridtest.Faults{Hang: true})
		}
		if took := first(t, servers); took > 60*time.Millisecond {
			t.Errorf("with seven servers hung the first byte took %v", took)
		}
	})
}

// A server that hangs in mid-file, and comes back, is used again; meanwhile
// the others carry the read.
func TestRecoveredServerIsUsedAgain(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(20_000_000), 100_000)
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2, 3)
		usual := gridtest.Faults{Latency: 10 * time.Millisecond, Rate: 1e6}
		for _, s := range servers {
			s.Set(usual)
		}
		hanging := usual
		hanging.HangAfter = 1_000_000
		servers[0].Set(hanging)
		before := int64(0)
		timer := time.AfterFunc(5*time.Second, func() {
			before = servers[0].Counts().BytesRead
			servers[0].Set(usual)
			servers[1].Set(gridtest.Faults{Down: gridtest.ErrDown}) // and now it is needed
		})
		defer timer.Stop()
		start := time.Now()
		ciphertext, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
		if err != nil || !bytes.Equal(ciphertext, st.cipher) {
			t.Fatalf("%v, %d bytes after %v", err, len(ciphertext), time.Since(start))
		}
		if after := servers[0].Counts().BytesRead; after < before+500_000 {
			t.Errorf("it moved %d bytes before it came back and %d in all", before, after)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// One server drips: the read is as fast as the others are.
func TestSlowServerIsLeftBehind(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(20_000_000), 100_000)
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2, 3, 4)
		for i, s := range servers {
			s.Set(gridtest.Faults{Latency: 10 * time.Millisecond, Rate: 10e6})
			if i == 0 {
				s.Set(gridtest.Faults{Latency: 10 * time.Millisecond, Rate: 1000})
			}
		}
		start := time.Now()
		ciphertext, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
		if err != nil || !bytes.Equal(ciphertext, st.cipher) {
			t.Fatalf("%v, %d bytes", err, len(ciphertext))
		}
		// Three servers at 10 MB/s take 0.7 s.
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// Servers of one slow link, all alike, are not hedged against each other.
func TestSlowLinkIsNotAFault(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(4_000_000), 1<<20)
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		for _, s := range servers {
			s.Set(gridtest.Faults{Latency: 200 * time.Millisecond, Rate: 100_000})
		}
		ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
		if err != nil || !bytes.Equal(ciphertext, st.cipher) || len(blamed) != 0 {
			t.Fatalf("%v, %d bytes, blamed %v", err, len(ciphertext), blamed)
		}
		if n := moved(servers); n > int64(len(st.cipher))*13/10 {
			t.Errorf("read %d bytes for %d", n, len(st.cipher))
		}
	})
}

func TestDiesMidway(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(20_000_000), 100_000)
	servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	for i := range 7 {
		servers[i].Set(gridtest.Faults{DieAfter: int64(1+i) * 300_000})
	}
	ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
	if err != nil || !bytes.Equal(ciphertext, st.cipher) {
		t.Fatalf("%v, %d bytes", err, len(ciphertext))
	}
	if len(blamed) == 0 {
		t.Error("nobody is blamed")
	}
	for _, b := range blamed {
		if b.Corrupt() || !errors.Is(b.Reason, gridtest.ErrDown) {
			t.Errorf("%v", b)
		}
	}
}

// A server that refuses is not tried for every part of the file.
func TestDeadServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(20_000_000), 100_000)
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2, 3)
		for _, s := range servers {
			s.Set(gridtest.Faults{Latency: time.Millisecond, Rate: 20e6})
		}
		servers[0].Set(gridtest.Faults{DieAfter: 1_000_000})
		ciphertext, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
		if err != nil || !bytes.Equal(ciphertext, st.cipher) {
			t.Fatalf("%v, %d bytes", err, len(ciphertext))
		}
		// Fewer than there are groups: those in flight when it died.
		if n := servers[0].Counts().Refused; n > 12 {
			t.Errorf("it was tried %d times", n)
		}
	})
}

// A read that was given up may write into its memory until it returns. What is
// delivered meanwhile lies elsewhere.
func TestGivenUpReadWritesLate(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(3_000_000), 100_000)
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2, 3, 4, 5)
		for i, s := range servers {
			f := gridtest.Faults{Latency: time.Millisecond}
			if i < 2 {
				f.HangAfter, f.Scribble = 50_000, 200*time.Millisecond
			}
			s.Set(f)
		}
		f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var got []byte
		err = f.Read(t.Context(), 0, f.Geometry().Segments, func(s transfer.Segment) error {
			time.Sleep(time.Second) // let them scribble before the bytes are looked at
			got = append(got, s.Data...)
			return nil
		})
		if err != nil || !bytes.Equal(got, st.cipher) {
			t.Fatalf("%v, %d bytes", err, len(got))
		}
		if out := f.MemoryOut(); out != 0 {
			t.Errorf("still holds %d bytes", out)
		}
	})
}

func TestNoShares(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	for name, c := range map[string]struct {
		servers []*gridtest.Server
		found   int
		none    bool
	}{
		"no-servers":     {nil, 0, true},
		"empty-servers":  {gridtest.New(40), 0, true},
		"two-shares":     {st.serve(3, 7), 2, false},
		"one-twice-over": {append(st.serve(3, 7), twin(st, 3, 20), twin(st, 7, 21)), 2, false},
	} {
		_, _, err := get(t.Context(), transfer.Config{Servers: all(c.servers)}, st.v)
		var few *transfer.NotEnoughSharesError
		if !errors.As(err, &few) || few.Found != c.found || few.Need != 3 || errors.Is(err, transfer.ErrNoShares) != c.none {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// twin is another server with the same share.
func twin(st stored, share, server int) *gridtest.Server {
	s := gridtest.NewServer(server)
	s.Put(st.v.StorageIndex, share, st.shares[share])
	return s
}

// The same share on two servers: if one fails or lies the other serves.
func TestCopiesOfOneShare(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700_000), 100_000)
	for name, fault := range map[string]gridtest.Faults{
		"down": {DownFor: map[string]error{"Read": storage.ErrDamaged}},
		"dies": {DieAfter: 50_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := append(st.serve(0, 1, 2), twin(st, 0, 20), twin(st, 1, 21))
			servers[0].Set(fault)
			servers[1].Put(st.v.StorageIndex, 1, flip(st.shares[1], 100_000, 0))
			ciphertext, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
			if err != nil || !bytes.Equal(ciphertext, st.cipher) {
				t.Fatalf("%v, %d bytes", err, len(ciphertext))
			}
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700_000), 100_000)
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2)
		for _, s := range servers {
			s.Set(gridtest.Faults{Hang: true})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := transfer.Open(ctx, transfer.Config{Servers: all(servers)}, st.v); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("open: %v", err)
		}
		for _, s := range servers {
			s.Set(gridtest.Faults{})
		}
		f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range servers {
			s.Set(gridtest.Faults{Hang: true})
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := readAll(ctx, f, 0, 7); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		closing := time.AfterFunc(time.Second, func() { f.Close() })
		defer closing.Stop()
		if _, err := readAll(t.Context(), f, 0, 7); !errors.Is(err, transfer.ErrClosed) {
			t.Errorf("read of a file that is closed meanwhile: %v", err)
		}
	})
}
