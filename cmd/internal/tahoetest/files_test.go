package tahoetest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/cmd/internal/tahoetest"
	"trunkline/grid/chk"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/tahoe"
	"trunkline/grid/transfer"
)

// random is n bytes that nobody has stored yet.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

// put stores a file of ours on Tahoe's servers.
func put(ctx context.Context, servers *tahoe.Servers, k, happy, n int, secret, data []byte) (transfer.UploadResult, error) {
	return transfer.Upload(ctx, transfer.UploadConfig{
		K: k, N: n, Happy: happy, Secret: secret, LeaseSecret: [32]byte{7}, Servers: servers.Uploads(),
	}, bytes.NewReader(data), uint64(len(data)))
}

// get reads a file of anybody's from Tahoe's servers.
func get(ctx context.Context, servers *tahoe.Servers, c caps.Cap) ([]byte, error) {
	read, ok := c.CHK()
	if !ok {
		return nil, fmt.Errorf("no cap of an immutable file")
	}
	f, err := transfer.Open(ctx, transfer.Config{Servers: servers.Servers()}, read.Verify())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var data []byte
	err = f.Read(ctx, 0, f.Geometry().Segments, func(s transfer.Segment) error {
		data = append(data, s.Data...)
		return nil
	})
	chk.Decrypt(read.Key(), 0, data)
	return data, err
}

func parse(t testing.TB, text string) caps.Cap {
	t.Helper()
	c, err := caps.Parse(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// With its convergence secret we make the real client's caps, and each finds what the other stored.
func TestSameCaps(t *testing.T) {
	t.Parallel()
	g, servers := tests.Shared(t), open(t)
	node, err := tahoe.ReadNode(g.Client.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range []int{56, 1000, 131_072, 1 << 20, 3<<20 + 11} {
		data := random(size)
		theirs, ours := "", ""
		store := []func(){
			func() {
				out, err := g.Tahoe(t.Context(), bytes.NewReader(data), "put", "-")
				if err != nil {
					t.Fatal(err)
				}
				theirs = strings.TrimSpace(out)
			},
			func() {
				r, err := put(t.Context(), servers, node.Needed, node.Happy, node.Total, node.Convergence, data)
				if err != nil {
					t.Fatal(err)
				}
				if i%2 == 0 && len(r.Existing) != node.Total {
					t.Errorf("%d bytes: found %d shares of Tahoe's", size, len(r.Existing))
				}
				ours = r.Cap.Text()
			},
		}
		if i%2 == 1 {
			slices.Reverse(store)
		}
		for _, s := range store {
			s()
		}
		if ours != theirs {
			t.Fatalf("%d bytes: the caps differ", size)
		}
		if got, err := get(t.Context(), servers, parse(t, theirs)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: we read %d (%v)", size, len(got), err)
		}
		out, err := g.Tahoe(t.Context(), nil, "get", theirs, "-")
		if err != nil || out != string(data) {
			t.Errorf("%d bytes: Tahoe reads %d (%v)", size, len(out), err)
		}
	}
}

// holders are the indexes in servers of those who have shares of a storage index, from their disks.
func holders(t *testing.T, g *tahoetest.Grid, servers []transfer.Server, si caps.StorageIndex) (indexes []int) {
	t.Helper()
	name := caps.EncodeBase32(si[:])
	for _, n := range g.Servers {
		shares, err := filepath.Glob(filepath.Join(n.Dir, "storage", "shares", name[:2], name, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(shares) == 0 {
			continue
		}
		pem, err := os.ReadFile(filepath.Join(n.Dir, "private", "node.pem"))
		if err != nil {
			t.Fatal(err)
		}
		id, err := tahoe.NodeID(pem)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(servers, func(s transfer.Server) bool { return s.PeerID20() == id })
		if i < 0 {
			t.Fatalf("%s is not announced with the id of its certificate", n.Name)
		}
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	return indexes
}

// Two shares on five servers: both clients take the first two of the same order. Only for immutable files Tahoe takes
// any two of the first four.
func TestPlacement(t *testing.T) {
	t.Parallel()
	g, servers := tests.Shared(t), open(t)
	few, err := g.AddClient(t.Context(), fmt.Sprintf("few-%x", random(4)), 1, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = few.Stop() })
	if err := few.Connected(t.Context(), len(g.Servers)); err != nil {
		t.Fatal(err)
	}
	files, err := mutable.New(mutable.Config{Servers: servers.Servers, Uploads: servers.Uploads, K: 1, N: 2, Happy: 2})
	if err != nil {
		t.Fatal(err)
	}
	theirs := func(args ...string) func() (caps.Cap, error) {
		return func() (caps.Cap, error) {
			out, err := tahoetest.Tahoe(t.Context(), few.Dir, bytes.NewReader(random(1000)), append([]string{"put"}, args...)...)
			if err != nil {
				return caps.Cap{}, err
			}
			return caps.Parse(strings.TrimSpace(out))
		}
	}
	for name, test := range map[string]struct {
		among int // the first so many of the order
		store func() (caps.Cap, error)
	}{
		"Tahoe's immutable": {4, theirs("-")},
		"Tahoe's SDMF":      {2, theirs("--format=SDMF", "-")},
		"Tahoe's MDMF":      {2, theirs("--format=MDMF", "-")},
		"our immutable": {2, func() (caps.Cap, error) {
			r, err := put(t.Context(), servers, 1, 2, 2, nil, random(1000))
			return r.Cap, err
		}},
		"our SDMF": {2, func() (caps.Cap, error) {
			r, err := files.Create(t.Context(), ssk.SDMF, nil, bytes.NewReader(random(1000)), 1000)
			return r.Cap, err
		}},
	} {
		for range 4 {
			c, err := test.store()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			si, _ := c.StorageIndex()
			order := transfer.Permute(si, servers.Servers())
			if got := holders(t, g, order, si); len(got) != 2 || got[1] >= test.among {
				t.Errorf("%s: shares are on the servers %v of the permuted order", name, got)
			}
		}
	}
}

// Mutable files go to and fro: written by one, read, changed and read again by the other, with the same write enablers.
func TestMutable(t *testing.T) {
	t.Parallel()
	g, servers := tests.Shared(t), open(t)
	files, err := mutable.New(mutable.Config{Servers: servers.Servers, Uploads: servers.Uploads, K: 3, N: 5, Happy: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for _, size := range []int{1, 3000, 400_000} {
			t.Run(fmt.Sprintf("%v/%d", format, size), func(t *testing.T) {
				t.Parallel()
				data := random(size)
				r, err := files.Create(t.Context(), format, nil, bytes.NewReader(data), uint64(size))
				if err != nil {
					t.Fatal(err)
				}
				both := func(when string) {
					t.Helper()
					if got, _, err := files.ReadAll(t.Context(), r.Cap, math.MaxInt32); err != nil || !bytes.Equal(got, data) {
						t.Fatalf("%s we read %d bytes (%v)", when, len(got), err)
					}
					if got, err := g.Tahoe(t.Context(), nil, "get", r.Cap.Text(), "-"); err != nil || got != string(data) {
						t.Fatalf("%s Tahoe reads %d bytes (%v)", when, len(got), err)
					}
				}
				both("after our creation")
				data = random(size + 70_000)
				if _, err := g.Tahoe(t.Context(), bytes.NewReader(data), "put", "-", r.Cap.Text()); err != nil {
					t.Fatal(err)
				}
				both("after Tahoe's overwriting")
				patch := random(500)
				at := len(data) - 300 // it grows, in place with MDMF
				data = append(data[:at], patch...)
				if _, err := files.WriteAt(t.Context(), r.Cap, bytes.NewReader(patch), uint64(at), uint64(len(patch))); err != nil {
					t.Fatal(err)
				}
				both("after our patch")
				said, err := g.Tahoe(t.Context(), nil, "check", "--verify", "--raw", r.Cap.Text())
				if err != nil || !strings.Contains(said, `"healthy": true`) {
					t.Fatalf("Tahoe's check: %s (%v)", said, err)
				}
				h, err := files.Check(t.Context(), verify(t, r.Cap), mutable.CheckOptions{Verify: true})
				if err != nil || !h.Healthy() {
					t.Fatalf("our check: %s (%v)", h.Summary(), err)
				}
			})
		}
	}
}

func verify(t *testing.T, c caps.Cap) caps.MutableVerify {
	t.Helper()
	v, ok := c.MutableVerify()
	if !ok {
		t.Fatal("no mutable file")
	}
	return v
}

// A server that hangs holds nothing up: reading and writing go on without it, long before a request's time is over.
func TestHungServer(t *testing.T) {
	t.Parallel()
	tests.Shared(t) // or skip
	g, err := tahoetest.Start(t.Context(), t.TempDir(), tahoetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	const requestTime = 10 * time.Minute // nobody waits for it
	servers, err := tahoe.Open(tahoe.Config{NodeDir: g.Client.Dir, Timeout: requestTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = servers.Close() })
	files, err := mutable.New(mutable.Config{Servers: servers.Servers, Uploads: servers.Uploads, K: 3, N: 5, Happy: 3})
	if err != nil {
		t.Fatal(err)
	}
	data := random(2 << 20)
	before, err := put(t.Context(), servers, 3, 3, 5, nil, data)
	if err != nil {
		t.Fatal(err)
	}
	m, err := files.Create(t.Context(), ssk.MDMF, nil, bytes.NewReader(data), uint64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range g.Servers {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			if err := n.Pause(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := n.Resume(); err != nil {
					t.Error(err)
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second) // three steps, each under what Tahoe stalls
			defer cancel()
			if got, err := get(ctx, servers, before.Cap); err != nil || !bytes.Equal(got, data) {
				t.Errorf("reading: %d bytes, %v", len(got), err)
			}
			fresh := random(1 << 20)
			if r, err := put(ctx, servers, 3, 3, 5, nil, fresh); err != nil {
				t.Errorf("writing: %v", err)
			} else if got, err := get(ctx, servers, r.Cap); err != nil || !bytes.Equal(got, fresh) {
				t.Errorf("reading what was written: %d bytes, %v", len(got), err)
			}
			if _, err := files.Overwrite(ctx, m.Cap, bytes.NewReader(fresh), uint64(len(fresh))); err != nil {
				t.Errorf("overwriting: %v", err)
			}
			if got, _, err := files.ReadAll(ctx, m.Cap, math.MaxInt32); err != nil || !bytes.Equal(got, fresh) {
				t.Errorf("reading what was overwritten: %d bytes, %v", len(got), err)
			}
		})
	}
}
