package longdistance_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

func TestRequestValidate(t *testing.T) {
	t.Parallel()
	good := request(newCiphertext(t, 1, 1000, 96))
	version := kept(t).header
	mutable := func(w longdistance.Wish) func(r *longdistance.Request) {
		return func(r *longdistance.Request) {
			r.Cap, r.Mutable, r.Offset, r.Length = caps.CHKVerify{}, &w, 1<<64-1, 1<<64-1
		}
	}
	tests := []struct {
		name string
		edit func(r *longdistance.Request)
		ok   bool
	}{
		{"good", func(*longdistance.Request) {}, true},
		{"end", func(r *longdistance.Request) { r.Offset, r.Length = 1000, 0 }, true},
		{"beyond", func(r *longdistance.Request) { r.Offset = 1001 }, false},
		{"too_long", func(r *longdistance.Request) { r.Offset = 1 }, false},
		{"overflow", func(r *longdistance.Request) { r.Offset, r.Length = 10, 1<<64-5 }, false},
		{"no_size", func(r *longdistance.Request) { r.Cap.Size = 0 }, false},
		{"huge", func(r *longdistance.Request) { r.Cap.Size = 1 << 63 }, false},
		{"k_above_n", func(r *longdistance.Request) { r.Cap.K = 2 }, false},
		{"no_shares", func(r *longdistance.Request) { r.Cap.K = 0 }, false},
		{"n_too_large", func(r *longdistance.Request) { r.Cap.N = 257 }, false},
		{"areas", func(r *longdistance.Request) { r.Areas = make([]caps.AreaCode, 9) }, false},
		{"negative_limit", func(r *longdistance.Request) { r.MaxCredits = -1 }, false},
		{"impatient", func(r *longdistance.Request) { r.Patience = -1 }, false},
		{"too_patient", func(r *longdistance.Request) { r.Patience = time.Hour }, false},
		{"two_files", func(r *longdistance.Request) { r.Mutable = &longdistance.Wish{} }, false},
		{"mutable", mutable(longdistance.Wish{}), true},
		{"mutable_version", mutable(longdistance.Wish{Cap: caps.MutableVerify{MDMF: true}, Version: version, LeastSeq: 1<<64 - 1}), true},
		{"mutable_version_of_the_other_encoding", mutable(longdistance.Wish{Version: version}), false},
		{"impossible_version", mutable(longdistance.Wish{Cap: caps.MutableVerify{MDMF: true}, Version: ssk.Header{Format: ssk.MDMF, K: 2, N: 1}}), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := good
			tt.edit(&r)
			err := r.Validate()
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, p2p.ErrMalformed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The request that a source is asked is the one that the payer made, whatever
// is in it.
func TestRequestTravels(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), newCiphertext(t, 1, 1000, 96)
	var got longdistance.Request
	y := w.addPayee(sourceFunc(func(_ context.Context, r longdistance.Request) (longdistance.File, error) {
		got = r
		return nil, p2p.ErrNotFound
	}))
	p := w.addPayer(nil)
	want := longdistance.Request{
		Areas: []caps.AreaCode{w.area, caps.NewAreaCode(public(t, keyed(t, 5)))}, Cap: c.verify,
		Offset: 17, Length: 400, MaxCredits: 123456, Patience: 7 * time.Second,
	}
	_, err := p.Open(t.Context(), longdistance.NewRoute(y.offer()), want)
	if !errors.Is(err, p2p.ErrNotFound) {
		t.Fatal(err)
	}
	want.Payer = public(t, p.key)
	if fmt.Sprint(got) != fmt.Sprint(want) || got.Cap != want.Cap {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// So does a request for a mutable file.
func TestMutableRequestTravels(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), kept(t)
	var got longdistance.Request
	y := w.addPayee(versionFunc{func(_ context.Context, r longdistance.Request) (longdistance.Version, error) {
		got = r
		return nil, p2p.ErrNotFound
	}})
	p := w.addPayer(nil)
	for _, version := range []ssk.Header{{}, c.header} {
		want := longdistance.Request{
			Areas: []caps.AreaCode{w.area}, Mutable: &longdistance.Wish{Cap: c.verify, Version: version, LeastSeq: 1<<64 - 1},
			Offset: 17, Length: 1<<64 - 1, MaxCredits: 123456, Patience: 7 * time.Second,
		}
		_, err := p.OpenMutable(t.Context(), longdistance.NewRoute(y.offer()), want)
		if !errors.Is(err, p2p.ErrNotFound) {
			t.Fatal(err)
		}
		wish, asked := *got.Mutable, *want.Mutable
		want.Payer = public(t, p.key)
		want.Mutable, got.Mutable = nil, nil
		if fmt.Sprint(got) != fmt.Sprint(want) || wish != asked {
			t.Errorf("got %+v and %+v, want %+v and %+v", got, wish, want, asked)
		}
	}
}

// versionFunc is a source of mutable files alone.
type versionFunc struct {
	open func(context.Context, longdistance.Request) (longdistance.Version, error)
}

func (versionFunc) Open(context.Context, longdistance.Request) (longdistance.File, error) {
	return nil, p2p.ErrNotFound
}

func (f versionFunc) OpenMutable(ctx context.Context, r longdistance.Request) (longdistance.Version, error) {
	return f.open(ctx, r)
}

type sourceFunc func(context.Context, longdistance.Request) (longdistance.File, error)

func (f sourceFunc) Open(ctx context.Context, r longdistance.Request) (longdistance.File, error) {
	return f(ctx, r)
}

// The bytes of one conversation, as PROTOCOL.md shows them.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newCiphertext(t, 1, 100, 56)
	y := w.addPayee(newShelf(c))
	p := w.addPayer(keyed(t, 60))
	if _, err := p.fetch(t.Context(), request(c), y.offer()); err != nil { // the second one is shown: by then nobody is new
		t.Fatal(err)
	}
	y.mu.Lock()
	s := y.streams[0]
	y.mu.Unlock()
	for _, h := range []*half{s.in, s.out} {
		h.mu.Lock()
		h.record, h.log = true, nil
		h.mu.Unlock()
	}
	f, err := p.Open(t.Context(), longdistance.NewRoute(y.offer()), request(c))
	must(t, err)
	must(t, f.Read(t.Context(), 0, 2, func(transfer.Segment) error { return nil }))
	must(t, f.Close())
	documented(t, "payer:\n"+dump(s.in.log)+"payee:\n"+dump(s.out.log))
}

// What a version of a mutable file looks like, as PROTOCOL.md shows it.
func TestWorkedExampleOfAVersion(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, tollFree), kept(t)
	y := w.addPayee(newShelf().putVersion(c))
	y.record = true
	_, _, err := w.addPayer(keyed(t, 60)).fetchVersion(t.Context(), c, wanted(c), y.offer())
	must(t, err)
	y.mu.Lock()
	s := y.streams[0]
	y.mu.Unlock()
	// Before each went a greeting.
	documented(t, "payer:\n"+dump(messages(t, s.in.log)[1])+"payee:\n"+dump(bytes.Join(messages(t, s.out.log)[1:], nil)))
}

// messages cuts what one side said into messages with their data, which go to
// what came before.
func messages(t *testing.T, b []byte) (all [][]byte) {
	t.Helper()
	for len(b) > 0 {
		n, head := binary.Uvarint(b)
		end := head + int(n)
		var m pb.FromPayee
		if proto.Unmarshal(b[head:end], &m) == nil && m.GetBlocks() != nil {
			end += int(m.GetBlocks().GetLength() + m.GetBlocks().GetProof())
		}
		all = append(all, b[:end])
		b = b[end:]
	}
	return all
}

// documented says that PROTOCOL.md has an example.
func documented(t *testing.T, example string) {
	t.Helper()
	doc, err := os.ReadFile("PROTOCOL.md")
	must(t, err)
	if !strings.Contains(string(doc), example) {
		t.Errorf("PROTOCOL.md does not have this example:\n%s", example)
	}
}

// dump is bytes in hexadecimal, 32 a line.
func dump(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		fmt.Fprintln(&out, hex.EncodeToString(b[:n]))
		b = b[n:]
	}
	return out.String()
}

// canned is a stream on which the other side says what the fuzzer thinks of, and
// listens to nothing.
type canned struct {
	*memStream
}

func (c canned) SendData(proto.Message, []byte) error { return nil }
func (c canned) Send(proto.Message) error             { return nil }

func newCanned(remote caps.PublicKey, b []byte) canned {
	in := newHalf(len(b)+1, noFault)
	_ = in.write(b, time.Second)
	in.end(nil)
	s, _ := newPipe(remote, remote, noFault, noFault)
	s.in = in
	return canned{s}
}

// record returns what each side says in an honest transfer.
func record(t testing.TB, mutable bool) (payer, payee []byte) {
	w, c, v := newWorld(t), newCiphertext(t, 1, 150, 56), kept(t)
	y := w.addPayee(newShelf(c).putVersion(v))
	y.record = true
	p := w.addPayer(keyed(t, 60), tinyWindow, func(_ *longdistance.PayerConfig, a *approvals) {
		if mutable {
			a.window = 128 // a segment of 100 bytes
		}
	})
	var err error
	if mutable {
		_, _, err = p.fetchVersion(context.Background(), v, wanted(v), y.offer())
	} else {
		_, err = p.fetch(context.Background(), request(c), y.offer())
	}
	must(t, err)
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.streams[0].in.log, y.streams[0].out.log
}

// A payee takes whatever a payer sends: no panic, no voucher that nobody signed,
// nothing left running.
func FuzzPayee(f *testing.F) {
	for _, mutable := range []bool{false, true} {
		up, _ := record(f, mutable)
		f.Add(up)
		f.Add(up[:len(up)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, c := newWorld(t), newCiphertext(t, 1, 150, 56)
		w.inMemory = true
		y := w.addPayee(newShelf(c).putVersion(kept(t)))
		s := newCanned(public(t, keyed(t, 60)), b)
		_ = y.Serve(context.Background(), s)
		if v, _ := y.vouched(); v > 0 {
			for _, o := range y.log.All() {
				if o.Voucher.Signer != s.remote {
					t.Error("a voucher of somebody else's")
				}
			}
		}
	})
}

// A payer takes whatever a payee sends: no panic, and no byte that is not the
// file's.
func FuzzPayer(f *testing.F) {
	_, down := record(f, false)
	f.Add(down)
	f.Add(down[:len(down)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newCiphertext(t, 1, 150, 56)
		p, y := cannedPayee(t, b)
		got, err := p.fetch(context.Background(), request(c), y.offer())
		if string(got) != string(c.data[:len(got)]) {
			t.Error("wrong bytes came out")
		}
		if err == nil && len(got) != len(c.data) {
			t.Error("a part was taken for the whole")
		}
	})
}

// cannedPayee is a payee that says b, and a payer that asks it.
func cannedPayee(t *testing.T, b []byte) (*payer, *payee) {
	w := newWorld(t)
	w.inMemory = true
	y := w.addPayee(newShelf()) // for its key only
	return w.addPayer(keyed(t, 60), func(pc *longdistance.PayerConfig, _ *approvals) {
		pc.Dial = func(context.Context, p2p.Peer) (longdistance.Stream, error) {
			return newCanned(y.config.Key, b), nil
		}
		pc.SettleTimeout = time.Millisecond
	}), y
}

// The same for a mutable file: no byte that is not of the version that was
// signed.
func FuzzPayerVersion(f *testing.F) {
	_, down := record(f, true)
	f.Add(down)
	f.Add(down[:len(down)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		c := kept(t)
		p, y := cannedPayee(t, b)
		got, h, err := p.fetchVersion(context.Background(), c, wanted(c), y.offer())
		if string(got) != string(c.plaintext[:len(got)]) || h != c.header && h != (ssk.Header{}) {
			t.Error("wrong bytes came out")
		}
		if err == nil && len(got) != len(c.plaintext) {
			t.Error("a part was taken for the whole")
		}
	})
}
