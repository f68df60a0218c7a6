package account_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/p2p"
)

// fakeLog is a VoucherLog in memory.
type fakeLog struct {
	mu       sync.Mutex
	last     map[billing.ChannelID]account.PendingVoucher
	receipts map[billing.ChannelID]billing.Receipt
	broken   error         // what MarkPosted fails with
	posted   chan struct{} // told of each receipt; nil for nobody
}

func newFakeLog() *fakeLog {
	return &fakeLog{last: map[billing.ChannelID]account.PendingVoucher{}, receipts: map[billing.ChannelID]billing.Receipt{}}
}

func (l *fakeLog) put(approver caps.PublicKey, v sealed.Sealed[billing.Voucher]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last[v.Value.Channel] = account.PendingVoucher{Approver: approver, Voucher: v}
}

func (l *fakeLog) Pending() []account.PendingVoucher {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []account.PendingVoucher
	for ch, p := range l.last {
		if r, ok := l.receipts[ch]; !ok || r.Bytes < p.Voucher.Value.Bytes {
			out = append(out, p)
		}
	}
	return out
}

func (l *fakeLog) MarkPosted(ch billing.ChannelID, r sealed.Sealed[billing.Receipt]) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	l.receipts[ch] = r.Value
	if l.posted != nil {
		l.posted <- struct{}{}
	}
	return nil
}

func (w *world) poster(l account.VoucherLog, epochs *account.Epochs) *account.Poster {
	return account.NewPoster(account.PosterConfig{
		Client: account.NewClient(w.payee), Log: l, Epochs: epochs, Now: w.clock.Now,
		Approver: func(k caps.PublicKey) (p2p.Peer, bool) { return w.peer, k == w.peer.Key },
	})
}

func (w *world) channel() billing.ChannelID {
	w.t.Helper()
	ap, err := account.NewClient(w.payer).Approve(w.t.Context(), w.peer, w.ask())
	if err != nil {
		w.t.Fatal(err)
	}
	return ap.Value.Channel
}

// T8 for the payee: nothing signed is lost while the approver is away.
func TestPosterRetriesUntilReceipted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	l := newFakeLog()
	ch := w.channel()
	l.put(w.peer.Key, w.voucher(ch, 100*mib))
	p := w.poster(l, nil)
	w.away()
	if round, err := p.PostAll(t.Context()); !errors.Is(err, account.ErrAway) || round != (account.Round{Left: 1}) {
		t.Errorf("away: %+v, %v", round, err)
	}
	l.put(w.peer.Key, w.voucher(ch, 200*mib)) // the payer signed on
	w.serve()
	p = w.poster(l, nil) // and the payee restarted
	if round, err := p.PostAll(t.Context()); err != nil || round != (account.Round{Posted: 1}) {
		t.Errorf("back: %+v, %v", round, err)
	}
	if got := w.balance(payeeAccount); got != w.cost(200*mib) {
		t.Errorf("booked %v, want %v", got, w.cost(200*mib))
	}
	if round, err := p.PostAll(t.Context()); err != nil || round != (account.Round{}) {
		t.Errorf("nothing to do: %+v, %v", round, err)
	}
}

// A receipt that could not be kept is fetched again, and books nothing twice.
func TestPosterKeepsReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	l := newFakeLog()
	l.put(w.peer.Key, w.voucher(w.channel(), 100*mib))
	l.broken = errors.New("disk is full")
	p := w.poster(l, nil)
	if round, err := p.PostAll(t.Context()); !errors.Is(err, l.broken) || round.Posted != 0 {
		t.Errorf("%+v, %v", round, err)
	}
	l.broken = nil
	if round, err := p.PostAll(t.Context()); err != nil || round.Posted != 1 {
		t.Errorf("%+v, %v", round, err)
	}
	if got := w.balance(payeeAccount); got != w.cost(100*mib) {
		t.Errorf("booked %v, want %v", got, w.cost(100*mib))
	}
}

// A voucher that is refused rests, and holds up no other.
func TestPosterRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	l := newFakeLog()
	l.put(w.peer.Key, w.voucher(billing.ChannelID{7}, mib))
	l.put(w.peer.Key, w.voucher(w.channel(), 100*mib))
	l.put(keyOf(strangerKey), w.voucher(billing.ChannelID{8}, mib))
	p := w.poster(l, nil)
	round, err := p.PostAll(t.Context())
	if err == nil || round != (account.Round{Posted: 1, Refused: 1, Left: 1}) {
		t.Errorf("%+v, %v", round, err)
	}
	if round, _ := p.PostAll(t.Context()); round != (account.Round{Left: 1}) {
		t.Errorf("at once again: %+v", round)
	}
	w.clock.Turn(time.Hour)
	if round, _ := p.PostAll(t.Context()); round != (account.Round{Refused: 1, Left: 1}) {
		t.Errorf("after its rest: %+v", round)
	}
}

func TestPosterRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	l := newFakeLog()
	ch := w.channel()
	p := w.poster(l, nil)
	ctx, cancel := context.WithCancel(t.Context())
	l.put(w.peer.Key, w.voucher(ch, mib))
	l.posted = make(chan struct{}, 1)
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-l.posted
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEpochs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	path := filepath.Join(t.TempDir(), "epochs")
	e, err := account.OpenEpochs(path, w.peer.Key)
	if err != nil {
		t.Fatal(err)
	}
	old, err := account.NewClient(w.payer).Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(old.Value.Approver, old.Value.Epoch); err != nil {
		t.Error(err)
	}
	if _, err := w.store.Revoke(t.Context(), keyOf(strangerKey), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	// The payee hears of it with its next round, even with nothing to post.
	if _, err := w.poster(newFakeLog(), e).PostAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := account.OpenEpochs(path)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := account.NewClient(w.payer).Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*account.Epochs{e, again} {
		if err := e.Check(old.Value.Approver, old.Value.Epoch); !errors.Is(err, account.ErrEpoch) || !errors.Is(err, p2p.ErrExpired) {
			t.Errorf("old approval: got %v, want ErrEpoch", err)
		}
		if err := e.Check(fresh.Value.Approver, fresh.Value.Epoch); err != nil {
			t.Errorf("fresh approval: %v", err)
		}
	}
	// An approval itself brings news, too.
	quiet, err := account.OpenEpochs("")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(quiet.Check(old.Value.Approver, old.Value.Epoch), quiet.Check(fresh.Value.Approver, fresh.Value.Epoch)); err != nil {
		t.Error(err)
	}
	if err := quiet.Check(old.Value.Approver, old.Value.Epoch); !errors.Is(err, account.ErrEpoch) {
		t.Errorf("got %v, want ErrEpoch", err)
	}
}
