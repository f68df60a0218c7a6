package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
)

func testPostRefuses(t *testing.T, open Opener) {
	b := newBooks(t, open, 100)
	a := b.reserve(b.approval("payer", 100, nil))
	cheap := billingtest.Seal(t, "payer", billing.Voucher{Channel: a.Value.Channel, Bytes: 10, Credits: 9})
	dear := billingtest.Seal(t, "payer", billing.Voucher{Channel: a.Value.Channel, Bytes: 10, Credits: 11})
	huge := billingtest.Seal(t, "payer", billing.Voucher{Channel: a.Value.Channel, Bytes: billing.MaxCount, Lookups: billing.MaxCount})
	elsewhere := billingtest.Seal(t, "payer", billing.Voucher{Channel: billing.ChannelID{1}, Bytes: 10, Credits: 10})
	for name, tt := range map[string]struct {
		v    sealed.Sealed[billing.Voucher]
		want error
	}{
		"unknown channel":   {elsewhere, ledger.ErrNoChannel},
		"below the tariff":  {cheap, billing.ErrWrongCost},
		"above the tariff":  {dear, billing.ErrWrongCost},
		"cost does not fit": {huge, billing.ErrWrongCost},
		"beyond the cap":    {b.voucher("payer", a, 101), billing.ErrOverCap},
	} {
		if _, err := b.tryPost(tt.v); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	b.stands("payer grid", 0, 100)
}

// testI1: nobody's signature but the payer's books anything, nor does a value
// without its envelope.
func testI1(t *testing.T, open Opener) {
	b := newBooks(t, open, 100)
	a := b.reserve(b.approval("payer", 100, nil))
	for _, signer := range []string{"payee", "approver", "payer grid", "payee grid", "stranger"} {
		if _, err := b.tryPost(b.voucher(signer, a, 10)); !errors.Is(err, ledger.ErrPayer) {
			t.Errorf("signed by %s: %v", signer, err)
		}
	}
	good := b.voucher("payer", a, 10)
	for name, v := range map[string]sealed.Sealed[billing.Voucher]{
		"literal":     {Value: good.Value, Signer: good.Signer, Bytes: good.Bytes},
		"no envelope": {Value: good.Value, Signer: good.Signer},
	} {
		if _, err := b.tryPost(v); !errors.Is(err, ledger.ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.stands("payer grid", 0, 100)
	if entries, err := b.s.Entries(t.Context(), 1, 10); err != nil || len(entries) != 0 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	b.post(good)
	b.stands("payer grid", -10, 90)
}

// testI2: whatever is posted, balances add up to zero, to the last credit.
func testI2(t *testing.T, open Opener) {
	b := newBooks(t, open, 1_000_000)
	names := []string{"payer grid", "payee grid", "third grid"}
	b.admit("payee grid", ledger.Terms{Currency: "EUR", Deposit: 1_000_000})
	b.admit("third grid", ledger.Terms{Currency: "EUR", Deposit: 1_000_000})
	rng := rand.New(rand.NewPCG(1, 2))
	want := make(map[string]billing.Credits)
	for i := range 30 {
		from, to := names[i%3], names[(i+1+i/3%2)%3]
		payer := fmt.Sprint("payer ", i)
		a := b.reserve(b.approval(payer, 10_000, func(v *billing.Approval) {
			v.PayerAccount, v.PayeeAccount = billingtest.Public(from), billingtest.Public(to)
		}))
		n := rng.Uint64N(10_000)
		b.post(b.voucher(payer, a, n))
		want[from] -= billing.Credits(n)
		want[to] += billing.Credits(n)
		var sum billing.Credits
		list, err := b.s.Accounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			sum += a.Balance
		}
		if sum != 0 {
			t.Fatalf("after %d postings balances add up to %d", i+1, sum)
		}
	}
	for name, balance := range want {
		if got := b.account(name).Balance; got != balance {
			t.Errorf("%s has %d, want %d", name, got, balance)
		}
	}
	b.check()
}

// testI4: every order of the same vouchers, with repetitions, ends the same.
func testI4(t *testing.T, open Opener) {
	b := newBooks(t, open, 1_000_000)
	totals := []uint64{10, 20, 30, 40}
	for i, order := range orders(len(totals)) {
		payer := fmt.Sprint("payer ", i)
		a := b.reserve(b.approval(payer, 40, nil))
		highest, booked := uint64(0), billing.Credits(0)
		for _, k := range order {
			v := b.voucher(payer, a, totals[k])
			for again := range 2 {
				p := b.post(v)
				if totals[k] > highest {
					highest = totals[k]
				}
				booked += p.Delta
				want := b.voucher(payer, a, highest)
				if p.Bytes != highest || p.Credits != billing.Credits(highest) || booked != billing.Credits(highest) ||
					p.Voucher != want.Hash() || again > 0 && p.Delta != 0 {
					t.Fatalf("order %v: after %d posting is %+v, %v booked in all", order, totals[k], p, booked)
				}
			}
		}
	}
	b.check()
	if got, want := b.account("payee grid").Balance, billing.Credits(24*40); got != want {
		t.Errorf("earned %d, want %d", got, want)
	}

	// A voucher of nothing is an entry, too: it is what was signed.
	a := b.reserve(b.approval("idle", 40, nil))
	first := b.post(b.voucher("idle", a, 0))
	if again := b.post(b.voucher("idle", a, 0)); first.Entry == 0 || again != first {
		t.Errorf("voucher of nothing: %+v, again %+v", first, again)
	}
}

// orders are the permutations of 0 to n-1.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var list [][]int
	for _, p := range orders(n - 1) {
		for i := range n {
			list = append(list, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return list
}

// testI4Concurrent: many callers post the same vouchers, shuffled.
func testI4Concurrent(t *testing.T, open Opener) {
	const callers, channels, steps = 16, 4, 8
	b := newBooks(t, open, 1_000_000)
	var vouchers []sealed.Sealed[billing.Voucher]
	for c := range channels {
		payer := fmt.Sprint("payer ", c)
		a := b.reserve(b.approval(payer, 1000, nil))
		for s := range steps {
			vouchers = append(vouchers, b.voucher(payer, a, uint64(s+1)*100))
		}
	}
	var mu sync.Mutex
	var booked billing.Credits
	heads := make(map[uint64][32]byte)
	var work sync.WaitGroup
	for c := range callers {
		work.Go(func() {
			for _, i := range rand.New(rand.NewPCG(uint64(c), 3)).Perm(len(vouchers)) {
				p, err := b.tryPost(vouchers[i])
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				booked += p.Delta
				if head, seen := heads[p.Entry]; seen && head != p.Head {
					t.Errorf("entry %d has two heads", p.Entry)
				}
				heads[p.Entry] = p.Head
				mu.Unlock()
			}
		})
	}
	work.Wait()
	if want := billing.Credits(channels * steps * 100); booked != want {
		t.Errorf("postings say %d, want %d", booked, want)
	}
	b.stands("payee grid", channels*steps*100, 0)
}

func testLines(t *testing.T, open Opener) {
	b := newBooks(t, open, 1000)
	b.admit("payee grid", ledger.Terms{Currency: "EUR", Deposit: 1000})
	ctx := t.Context()
	var vouchers []sealed.Sealed[billing.Voucher]
	for i := range 3 {
		payer := fmt.Sprint("payer ", i)
		a := b.reserve(b.approval(payer, 100, nil))
		v := b.voucher(payer, a, uint64(i+1))
		b.post(v)
		vouchers = append(vouchers, v)
	}
	b.reserve(b.approval("silent", 100, nil)) // has no entry, so no line
	last := b.reserve(b.approval("payer 0", 100, func(v *billing.Approval) { v.Period++ }))
	b.post(b.voucher("payer 0", last, 50))
	back := b.reserve(b.approval("payee", 100, func(v *billing.Approval) {
		v.Payee = billingtest.Public("payer")
		v.PayerAccount, v.PayeeAccount = v.PayeeAccount, v.PayerAccount
	}))
	b.post(b.voucher("payee", back, 20))

	for name, want := range map[string]struct{ debit, credit billing.Credits }{
		"payer grid": {6, 20}, "payee grid": {20, 6},
	} {
		s, err := ledger.Statement(ctx, b.s, billingtest.Public(name), billingtest.Period, now)
		if err != nil {
			t.Fatal(err)
		}
		if s.Debit != want.debit || s.Credit != want.credit || len(s.Lines) != 4 || s.Currency != "EUR" {
			t.Errorf("%s: %+v", name, s)
		}
		// It can be signed, so it is in order and adds up.
		billingtest.Seal(t, "approver", s)
		for _, l := range s.Lines {
			i := slices.IndexFunc(vouchers, func(v sealed.Sealed[billing.Voucher]) bool { return v.Value.Channel == l.Channel })
			if i >= 0 && (l.Voucher != vouchers[i].Hash() || l.Bytes != uint64(i+1) || l.Entry != uint64(i+1)) {
				t.Errorf("%s: line %+v of voucher %d", name, l, i)
			}
			other := map[string]string{"payer grid": "payee grid", "payee grid": "payer grid"}[name]
			if l.Counterparty != billingtest.Public(other) {
				t.Errorf("%s: counterparty is %v", name, l.Counterparty)
			}
		}
	}
	if lines, err := b.s.Lines(ctx, billingtest.Public("payer grid"), 99); err != nil || len(lines) != 0 {
		t.Errorf("another period: %d lines, %v", len(lines), err)
	}
	if _, err := b.s.Lines(ctx, billingtest.Public("nobody"), billingtest.Period); !errors.Is(err, ledger.ErrNoAccount) {
		t.Errorf("unknown account: %v", err)
	}
}

// testEntries: the journal has no gaps, is verbatim and chained, and is what the
// postings said.
func testEntries(t *testing.T, open Opener) {
	b := newBooks(t, open, 1000)
	a := b.reserve(b.approval("payer", 100, nil))
	var head [32]byte
	for i := range uint64(5) {
		v := b.voucher("payer", a, 10*(i+1))
		p := b.post(v)
		list, err := b.s.Entries(t.Context(), i+1, 9)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d entries, %v", len(list), err)
		}
		e := list[0]
		if e.Number != i+1 || e.Number != p.Entry || e.Amount != 10 || !bytes.Equal(e.Voucher, v.Bytes) || e.BookedAt != now.Unix() {
			t.Fatalf("entry %+v of posting %+v", e, p)
		}
		if e.Chain(head) != e.Head || e.Head != p.Head {
			t.Fatalf("entry %d does not follow", e.Number)
		}
		head = e.Head
		if s := billingtest.Seal(t, "approver", p.Receipt()); s.Value.Head != head || s.Value.Voucher != v.Hash() || s.Value.Entry != i+1 {
			t.Fatalf("receipt %+v", s.Value)
		}
	}
	if list, err := b.s.Entries(t.Context(), 2, 3); err != nil || len(list) != 3 || list[0].Number != 2 {
		t.Errorf("a page: %d entries, %v", len(list), err)
	}
	if list, err := b.s.Entries(t.Context(), 1<<63, 3); err != nil || len(list) != 0 {
		t.Errorf("beyond the end: %d entries, %v", len(list), err)
	}
}

// testDurable: everything is there after opening again, and two stores on one
// database do not disturb each other.
func testDurable(t *testing.T, open Opener) {
	dir := t.TempDir()
	b := &books{t: t, tariff: UnitTariff(t)}
	var a sealed.Sealed[billing.Approval]
	var last ledger.Posting
	for i := range uint64(4) {
		s, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		b.s = s
		if i == 0 {
			b.admit("payer grid", ledger.Terms{Currency: "EUR", Deposit: 100})
			b.admit("payee grid", ledger.Terms{Currency: "EUR"})
			a = b.reserve(b.approval("payer", 100, nil))
		} else if p := b.post(b.voucher("payer", a, 10*i)); p.Entry != last.Entry || p.Head != last.Head || p.Delta != 0 {
			t.Fatalf("opened again, posting is %+v, was %+v", p, last)
		}
		second, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		last = b.post(b.voucher("payer", a, 10*i+5))
		b.s = second
		last = b.post(b.voucher("payer", a, 10*i+10))
		b.stands("payer grid", -10*billing.Credits(i+1), 100-10*billing.Credits(i+1))
		if err := errors.Join(s.Close(), second.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// testCanceled: a caller that gives up leaves the books whole, and asking again
// settles what became of it.
func testCanceled(t *testing.T, open Opener) {
	b := newBooks(t, open, 1000)
	a := b.reserve(b.approval("payer", 1000, nil))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.s.Post(over, b.voucher("payer", a, 1), now); !errors.Is(err, context.Canceled) {
		t.Errorf("given up before: %v", err)
	}
	var work sync.WaitGroup
	for i := range uint64(50) {
		ctx, cancel := context.WithCancel(t.Context())
		work.Go(func() {
			_, err := b.s.Post(ctx, b.voucher("payer", a, i+2), now)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		work.Go(cancel)
	}
	work.Wait()
	b.post(b.voucher("payer", a, 100))
	b.stands("payer grid", -100, 900)
}

func testClosed(t *testing.T, open Opener) {
	s, err := open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err = s.Admit(t.Context(), billingtest.Public("payer grid"), ledger.Terms{Currency: "EUR"})
	if !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("changed after closing: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := s.Accounts(t.Context()); err == nil {
		t.Error("read after closing")
	}
}
