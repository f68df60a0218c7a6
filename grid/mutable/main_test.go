package mutable_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testKeys makes one pair of keys for all tests: making one is slow.
var testKeys = sync.OnceValue(func() []*ssk.Keys {
	made := make([]*ssk.Keys, 2)
	for i := range made {
		keys, err := ssk.GenerateKeys()
		if err != nil {
			panic(err)
		}
		made[i] = keys
	}
	return made
})

// fleet turns test servers into what a Config wants.
func fleet(servers []*gridtest.Server) func() []transfer.Server {
	all := make([]transfer.Server, len(servers))
	for i, s := range servers {
		all[i] = s
	}
	return func() []transfer.Server { return all }
}

func newFiles(tb testing.TB, servers []*gridtest.Server, edit func(*mutable.Config)) *mutable.Files {
	tb.Helper()
	cfg := mutable.Config{
		Servers: fleet(servers), LeaseSecret: [32]byte{1},
		Timeout: 5 * time.Second, Patience: 2 * time.Second, Settle: 200 * time.Millisecond,
	}
	if edit != nil {
		edit(&cfg)
	}
	f, err := mutable.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// contents is n bytes that depend on seed.
func contents(seed uint64, n int) []byte {
	b := make([]byte, 0, n+32)
	for i := uint64(0); len(b) < n; i++ {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seed), i))
		b = append(b, h[:]...)
	}
	return b[:n]
}

func create(tb testing.TB, f *mutable.Files, format ssk.Format, data []byte) caps.Cap {
	tb.Helper()
	r, err := f.Create(context.Background(), format, testKeys()[0], bytes.NewReader(data), uint64(len(data)))
	if err != nil {
		tb.Fatalf("creating: %v", err)
	}
	return r.Cap
}

func overwrite(f *mutable.Files, c caps.Cap, data []byte) (mutable.Result, error) {
	return f.Overwrite(context.Background(), c, bytes.NewReader(data), uint64(len(data)))
}

func read(tb testing.TB, f *mutable.Files, c caps.Cap) []byte {
	tb.Helper()
	data, _, err := f.ReadAll(context.Background(), c, 1<<30)
	if err != nil {
		tb.Fatalf("reading: %v", err)
	}
	return data
}

func mustRead(tb testing.TB, f *mutable.Files, c caps.Cap, want []byte) {
	tb.Helper()
	if got := read(tb, f, c); !bytes.Equal(got, want) {
		tb.Fatalf("read %d bytes, which are not the %d that were written", len(got), len(want))
	}
}

func verifyCap(tb testing.TB, c caps.Cap) caps.MutableVerify {
	tb.Helper()
	v, ok := c.MutableVerify()
	if !ok {
		tb.Fatal("no verify cap")
	}
	return v
}
