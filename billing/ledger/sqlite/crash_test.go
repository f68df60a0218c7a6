package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/billing/ledger/ledgertest"
	"trunkline/billing/ledger/sqlite"
	"trunkline/billing/sealed"
)

// crashEnv holds the path of the books in the process that is to be killed.
const crashEnv = "TRUNKLINE_TEST_LEDGER_CRASH"

const crashChannels = 8

// crashPayer signs on channel i.
func crashPayer(i int) string { return fmt.Sprint("crash payer ", i) }

func crashApproval(tb testing.TB, i int) (sealed.Sealed[billing.Approval], sealed.Sealed[billing.Tariff]) {
	tariff := ledgertest.UnitTariff(tb)
	return billingtest.Approval(tb, tariff, func(v *billing.Approval) { v.Payer = billingtest.Public(crashPayer(i)) }), tariff
}

// postUntilKilled is the other process: it posts on all channels at once, one
// byte more each time, and says on standard output what is acknowledged.
func postUntilKilled(path string) {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	var work sync.WaitGroup
	for i := range crashChannels {
		work.Go(func() {
			a, _ := crashApproval(must{}, i)
			c, err := s.Channel(ctx, a.Value.Channel)
			if err != nil {
				panic(err)
			}
			n := uint64(0)
			if c.Last != nil {
				n = c.Last.Bytes
			}
			for {
				n++
				v := billingtest.Seal(must{}, crashPayer(i), billing.Voucher{Channel: a.Value.Channel, Bytes: n, Credits: billing.Credits(n)})
				p, err := s.Post(ctx, v, time.Unix(billingtest.Start, 0))
				if err != nil {
					panic(err)
				}
				mu.Lock()
				fmt.Println(i, p.Entry, n)
				mu.Unlock()
			}
		})
	}
	work.Wait()
}

// must is a testing.TB for the process that has none.
type must struct{ testing.TB }

func (must) Helper()                      {}
func (must) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (must) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// TestKilled kills the writing process amid its work, again and again: what it
// acknowledged is there, and the books add up.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "books.db")
	s, _ := filled(t, path)
	for i := range crashChannels {
		a, tariff := crashApproval(t, i)
		if err := s.Reserve(t.Context(), ledger.Reservation{Approval: a, Tariff: tariff}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := make([]uint64, crashChannels)
	entries := uint64(3) // of filled
	for round := range 5 {
		entries = max(entries, kill(t, path, 40*(round+1), acknowledged))
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		for i, want := range acknowledged {
			a, _ := crashApproval(t, i)
			c, err := s.Channel(t.Context(), a.Value.Channel)
			if err != nil {
				t.Fatal(err)
			}
			if want > 0 && (c.Last == nil || c.Last.Bytes < want) {
				t.Errorf("channel %d: %d acknowledged, books have %+v", i, want, c.Last)
			}
		}
		if list, err := s.Entries(t.Context(), entries, 1); err != nil || len(list) != 1 {
			t.Errorf("entry %d was acknowledged: %v", entries, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// kill has another process post, kills it after so many acknowledgements, and
// notes the highest of each channel. It returns the highest entry.
func kill(t *testing.T, path string, after int, acknowledged []uint64) (entries uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	seen := 0
	for lines.Scan() {
		var i int
		var entry, n uint64
		if _, err := fmt.Sscan(lines.Text(), &i, &entry, &n); err != nil {
			break // the last line may be cut
		}
		acknowledged[i] = max(acknowledged[i], n)
		entries = max(entries, entry)
		if seen++; seen == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || seen < after {
		t.Fatalf("ended by itself after %d postings: %v", seen, err)
	}
	return entries
}
