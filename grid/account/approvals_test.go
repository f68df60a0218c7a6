package account_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/grid/account"
	"trunkline/p2p"
)

func (w *world) approvals(edit func(*account.ApprovalsConfig)) *account.Approvals {
	cfg := account.ApprovalsConfig{Client: account.NewClient(w.payer), Self: payer, Now: w.clock.Now}
	if edit != nil {
		edit(&cfg)
	}
	return account.NewApprovals(cfg)
}

func get(t *testing.T, a *account.Approvals, n account.Need) sealed.Sealed[billing.Approval] {
	t.Helper()
	got, err := a.Get(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A warm read asks nobody: the second Get works with the approver gone.
func TestApprovalsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	a := w.approvals(nil)
	first := get(t, a, w.need(mib))
	w.away()
	if again := get(t, a, w.need(mib)); again.Hash() != first.Hash() {
		t.Error("another approval came back")
	}
	if latest, ok := a.Latest(first.Value.Channel); !ok || latest.Hash() != first.Hash() {
		t.Error("Latest does not know it")
	}
	if _, ok := a.Latest(billing.ChannelID{1}); ok {
		t.Error("Latest knows a channel that is not there")
	}
}

// T8: the approver goes away. What is approved holds to its end, then for its
// grace and within the grace cap, and not a second longer.
func TestApproverAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	a := w.approvals(nil)
	first := get(t, a, w.need(0))
	w.away()
	for _, step := range []struct {
		after time.Duration
		need  uint64
		used  uint64
		want  error
	}{
		{after: 59 * time.Minute, need: gib},
		{after: time.Hour, need: gib},
		{after: time.Hour + time.Second, need: gib, used: 64 * mib},                             // cap and grace cap together
		{after: 2 * time.Hour, need: gib + 1, used: 64 * mib, want: account.ErrAway},            // a byte too many
		{after: 25 * time.Hour, need: 1, used: gib + 63*mib},                                    // the last second
		{after: 25 * time.Hour, need: 1, used: gib + 64*mib, want: account.ErrAway},             // used up
		{after: 25*time.Hour + time.Second, need: 1, used: gib + 64*mib, want: account.ErrAway}, // over
	} {
		w.clock.Turn(start.Add(step.after).Sub(w.clock.Now()))
		a.Used(first.Value.Channel, step.used)
		got, err := a.Get(t.Context(), w.need(step.need))
		if !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
			t.Fatalf("after %v, %d used, %d needed: got %v, want %v", step.after, step.used, step.need, err, step.want)
		}
		if err == nil && got.Hash() != first.Hash() {
			t.Fatalf("after %v: another approval", step.after)
		}
	}
	// It comes back: everything goes on by itself.
	w.serve()
	if got := get(t, a, w.need(0)); got.Value.NotAfter <= w.clock.Now().Unix() {
		t.Error("no fresh approval")
	}
}

// Grace is for an approver that is away or cannot decide, not for one that says no.
func TestGraceAfterAnAnswer(t *testing.T) {
	t.Parallel()
	for kind, grace := range map[p2p.ErrorKind]bool{
		p2p.Denied: false, p2p.Unpaid: false, p2p.Conflict: false, p2p.Refused: false, p2p.Expired: false, p2p.Malformed: false,
		p2p.Busy: true, p2p.Unavailable: true, p2p.Internal: true,
	} {
		t.Run(kind.Error(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, account.Policy{})
			a := w.approvals(nil)
			first := get(t, a, w.need(0))
			w.answer.Store(&kind)
			w.clock.Turn(2 * time.Hour)
			got, err := a.Get(t.Context(), w.need(0))
			if grace && (err != nil || got.Hash() != first.Hash()) {
				t.Errorf("got %v, want the approval in its grace", err)
			}
			if !grace && (!errors.Is(err, kind) || got.Verified()) {
				t.Errorf("got %v, want %v", err, kind)
			}
		})
	}
}

func TestRenewalAtHalfLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	a := w.approvals(nil)
	first := get(t, a, w.need(0))
	w.clock.Turn(29 * time.Minute)
	a.RenewDue(t.Context())
	if got := get(t, a, w.need(0)); got.Hash() != first.Hash() {
		t.Error("renewed before half of its life")
	}
	w.clock.Turn(time.Minute)
	a.RenewDue(t.Context())
	got := get(t, a, w.need(0))
	if got.Value.NotAfter != first.Value.NotAfter+1800 || got.Value.Channel != first.Value.Channel {
		t.Errorf("renewed to %+v", got.Value)
	}
	if err := first.Value.CheckRenewal(got.Value); err != nil {
		t.Error(err)
	}
}

func TestRaiseAtHalfUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	a := w.approvals(func(c *account.ApprovalsConfig) { c.WantBytes = 100 * mib })
	first := get(t, a, w.need(0))
	ch := first.Value.Channel
	capBytes := func() uint64 { return get(t, a, w.need(0)).Value.CapBytes }
	a.Used(ch, 49*mib)
	a.RenewDue(t.Context())
	if got := capBytes(); got != 100*mib {
		t.Errorf("cap %d before half was used", got)
	}
	a.Used(ch, 50*mib)
	a.Used(ch, 10*mib) // late news change nothing
	a.RenewDue(t.Context())
	if got := capBytes(); got != 150*mib {
		t.Errorf("cap %d, want 150 MiB", got)
	}
	// Half of what was granted since, not of the whole.
	a.Used(ch, 99*mib)
	a.RenewDue(t.Context())
	if got := capBytes(); got != 150*mib {
		t.Errorf("cap %d, want 150 MiB still", got)
	}
	a.Used(ch, 100*mib)
	a.RenewDue(t.Context())
	if got := capBytes(); got != 200*mib {
		t.Errorf("cap %d, want 200 MiB", got)
	}
	// More than there is room for is asked for at once.
	if got := get(t, a, w.need(500*mib)); got.Value.CapBytes != 600*mib {
		t.Errorf("cap %d, want 600 MiB", got.Value.CapBytes)
	}
}

// A grant that does not cover the need is told as want of credit.
func TestNeedBeyondCredit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	if _, err := w.approvals(nil).Get(t.Context(), w.need(20*gib)); !errors.Is(err, account.ErrCredit) {
		t.Errorf("got %v, want ErrCredit", err)
	}
}

func TestApprovalsOnDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	dir := t.TempDir()
	onDisk := func(c *account.ApprovalsConfig) { c.Dir = dir }
	first := get(t, w.approvals(onDisk), w.need(0))
	w.away()
	if got := get(t, w.approvals(onDisk), w.need(0)); got.Hash() != first.Hash() {
		t.Error("the next run has another approval")
	}
	if got, err := w.approvals(func(c *account.ApprovalsConfig) { c.Dir = dir; c.Self = payee }).Get(t.Context(), w.need(0)); err == nil {
		t.Errorf("another key uses it: %+v", got.Value)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.approval"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := w.approvals(onDisk).Get(t.Context(), w.need(0)); err == nil {
			t.Fatalf("byte %d flipped: still used, as %+v", i, got.Value)
		}
		if i > 4 && i < len(good)-4 {
			break // each costs a failed dial; the rest is for sealed's own tests
		}
	}
	if err := os.WriteFile(files[0], good, 0o600); err != nil {
		t.Fatal(err)
	}
	w.clock.Turn(26 * time.Hour)
	if _, err := w.approvals(onDisk).Get(t.Context(), w.need(0)); !errors.Is(err, account.ErrAway) {
		t.Errorf("after its grace: got %v, want ErrAway", err)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	a := w.approvals(func(c *account.ApprovalsConfig) { c.Dir = t.TempDir() })
	first := get(t, a, w.need(0))
	if _, err := w.store.Revoke(t.Context(), keyOf(strangerKey), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	a.Forget(first.Value.Channel)
	if got := get(t, a, w.need(0)); got.Value.Epoch != first.Value.Epoch+1 {
		t.Errorf("epoch %d after %d", got.Value.Epoch, first.Value.Epoch)
	}
}

// Many readers of one channel make one request.
func TestOneRequestForMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	a := w.approvals(nil)
	hashes := make(chan [32]byte, 32)
	var wg sync.WaitGroup
	for range cap(hashes) {
		wg.Go(func() {
			got, err := a.Get(context.Background(), w.need(0))
			if err != nil {
				t.Error(err)
			}
			hashes <- got.Hash()
			w.clock.Turn(time.Second) // a second request would be signed at another time
		})
	}
	wg.Wait()
	first := <-hashes
	for range cap(hashes) - 1 {
		if <-hashes != first {
			t.Fatal("several approvals were asked for")
		}
	}
}

func TestSecondApprover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	n := w.need(0)
	dead := p2p.Peer{Key: keyOf(strangerKey), Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}
	n.Approvers = []p2p.Peer{dead, w.peer}
	if got := get(t, w.approvals(nil), n); got.Value.Approver != w.peer.Key {
		t.Errorf("approved by %s", got.Value.Approver)
	}
	n.Approvers = nil
	if _, err := w.approvals(nil).Get(t.Context(), n); !errors.Is(err, account.ErrAway) {
		t.Errorf("no approver: got %v, want ErrAway", err)
	}
}

func TestCredentialIsNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	broken := errors.New("certificate ended")
	a := w.approvals(func(c *account.ApprovalsConfig) { c.Credential = func() ([]byte, error) { return nil, broken } })
	if _, err := a.Get(t.Context(), w.need(0)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// Run renews what Get and Used find due.
func TestApprovalsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	a := w.approvals(nil)
	first := get(t, a, w.need(0))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	w.clock.Turn(31 * time.Minute)
	get(t, a, w.need(0)) // still the old one, but it is due
	for {
		if got, ok := a.Latest(first.Value.Channel); ok && got.Hash() != first.Hash() {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("never renewed")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
