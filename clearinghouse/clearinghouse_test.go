package clearinghouse_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/caps"
	"trunkline/clearinghouse"
	"trunkline/grid/account"
	"trunkline/grid/manager"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/durable"
	"trunkline/p2p/keyfile"
)

// delegationOf is the proof with which a manager speaks for its grid.
func delegationOf(t *testing.T, g *grid) []byte {
	t.Helper()
	b, err := roster.Credential{Delegation: g.m.Record().Delegation}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCreateAndOpen(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, func(cfg *clearinghouse.CreateConfig) { cfg.Currency = "EUR" })
	st, err := h.Status(t.Context())
	if err != nil || st.Currency != "EUR" || st.Key != h.Key() || st.Name != "the house" || st.Open {
		t.Errorf("status %+v, %v", st, err)
	}
	if _, err := clearinghouse.Create(clearinghouse.CreateConfig{Dir: h.dir}); !errors.Is(err, clearinghouse.ErrExists) {
		t.Errorf("a second one: got %v, want ErrExists", err)
	}
	for name, cfg := range map[string]clearinghouse.CreateConfig{"currency": {Currency: "x"}, "credit": {CreditLine: -1}, "name": {Name: "\x00"}} {
		cfg.Dir = filepath.Join(t.TempDir(), name)
		if _, err := clearinghouse.Create(cfg); !errors.Is(err, clearinghouse.ErrArgument) {
			t.Errorf("%s: got %v, want ErrArgument", name, err)
		}
	}
	if _, err := clearinghouse.Open(t.Context(), clearinghouse.Config{Dir: t.TempDir()}); !errors.Is(err, clearinghouse.ErrNone) {
		t.Errorf("an empty folder: got %v, want ErrNone", err)
	}
	if err := h.Serve(hostOf(t, nil), nil); !errors.Is(err, clearinghouse.ErrArgument) {
		t.Errorf("another's host: got %v, want ErrArgument", err)
	}
	h.close()
	key := filepath.Join(h.dir, "clearinghouse.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := clearinghouse.Open(t.Context(), clearinghouse.Config{Dir: h.dir}); !errors.Is(err, keyfile.ErrKey) {
		t.Errorf("a key that others read: got %v, want ErrKey", err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "state.json"), []byte(`{"schema":9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clearinghouse.Open(t.Context(), clearinghouse.Config{Dir: h.dir}); !errors.Is(err, durable.ErrState) {
		t.Errorf("a newer state: got %v, want ErrState", err)
	}
}

func TestAskingAndAdmitting(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	g := newGrid(t, c, "askers")
	subscribe := func() *account.JoinState {
		t.Helper()
		s, err := g.m.Subscribe(t.Context(), h.host.Self())
		if err != nil {
			t.Fatal(err)
		}
		return s.State
	}
	if s := subscribe(); s.Admitted {
		t.Error("admitted without the operator")
	}
	subscribe() // asking again is asking once
	reqs := h.Requests()
	if len(reqs) != 1 || reqs[0].Area != g.m.Area() || reqs[0].Name != "askers" || reqs[0].Manager != g.m.Key() || !reqs[0].At.Equal(start) {
		t.Fatalf("requests %+v", reqs)
	}
	if _, err := h.Areas().Get(g.m.Area()); !errors.Is(err, area.ErrUnknownArea) {
		t.Errorf("the directory has a grid that is not admitted: %v", err)
	}
	got, err := h.Admit(t.Context(), g.m.Area(), clearinghouse.Terms{CreditLine: 3, Deposit: 4})
	if err != nil || got.Name != "askers" || got.Available != 7 || got.Currency != "CREDIT" {
		t.Errorf("account %+v, %v", got, err)
	}
	if len(h.Requests()) != 0 {
		t.Error("the request is still listed")
	}
	if s := subscribe(); !s.Admitted || s.CreditLine != 3 || s.Deposit != 4 || s.Currency != "CREDIT" || s.Suspended {
		t.Errorf("stands at %+v", s)
	}
	if _, err := h.Areas().Get(g.m.Area()); err != nil {
		t.Errorf("the directory lacks the grid: %v", err)
	}
	if list := g.m.Clearinghouses(); len(list) != 1 || list[0].Key != h.Key() {
		t.Errorf("the grid lists %+v", list)
	}
	other := newGrid(t, c, "others")
	if _, err := other.m.Subscribe(t.Context(), h.host.Self()); err != nil {
		t.Fatal(err)
	}
	if err := h.Reject(other.m.Area()); err != nil || len(h.Requests()) != 0 {
		t.Errorf("rejecting: %v", err)
	}
	if err := h.Reject(other.m.Area()); !errors.Is(err, clearinghouse.ErrNoRequest) {
		t.Errorf("got %v, want ErrNoRequest", err)
	}
	// Requests that nobody answers go away.
	if _, err := other.m.Subscribe(t.Context(), h.host.Self()); err != nil {
		t.Fatal(err)
	}
	c.Turn(31 * 24 * time.Hour)
	if err := h.Tend(t.Context()); err != nil || len(h.Requests()) != 0 {
		t.Errorf("requests %+v, %v", h.Requests(), err)
	}
}

func TestOpenAdmission(t *testing.T) {
	t.Parallel()
	c := newClock()
	dir := filepath.Join(t.TempDir(), "house")
	if _, err := clearinghouse.Create(clearinghouse.CreateConfig{Dir: dir, Open: true, CreditLine: 5, Now: c.Now}); err != nil {
		t.Fatal(err)
	}
	ch, err := clearinghouse.Open(t.Context(), clearinghouse.Config{Dir: dir, Now: c.Now, RequestsPerHour: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	host := hostOf(t, ch.HostKey())
	if err := ch.Serve(host, nil); err != nil {
		t.Fatal(err)
	}
	join := func() error {
		g := newGrid(t, c, "walk in")
		s, err := g.m.Subscribe(t.Context(), host.Self())
		if err == nil && (!s.State.Admitted || s.State.CreditLine != 5) {
			t.Errorf("stands at %+v", s.State)
		}
		return err
	}
	if err := errors.Join(join(), join()); err != nil {
		t.Fatal(err)
	}
	if err := join(); !errors.Is(err, p2p.ErrBusy) {
		t.Errorf("a third within the hour: got %v, want busy", err)
	}
	c.Turn(time.Hour)
	if err := join(); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	if err := ch.SetOpen(false, 5); err != nil {
		t.Fatal(err)
	}
	g := newGrid(t, c, "too late")
	if s, err := g.m.Subscribe(t.Context(), host.Self()); err != nil || s.State.Admitted {
		t.Errorf("closed: %+v, %v", s.State, err)
	}
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	g, other := newGrid(t, c, "a"), newGrid(t, c, "b")
	r := g.m.Record()
	good := account.JoinRequest{Area: g.m.Area(), Delegation: r.Delegation, Sheet: r.Sheet, Name: "a"}
	for name, tc := range map[string]struct {
		host *p2p.Host
		edit func(*account.JoinRequest)
		want error
	}{
		"gateway_for_its_grid": {g.gateway.Host, func(*account.JoinRequest) {}, p2p.ErrDenied},
		"other_manager":        {other.host, func(*account.JoinRequest) {}, p2p.ErrDenied},
		"others_area":          {g.host, func(r *account.JoinRequest) { r.Area = other.m.Area() }, p2p.ErrMalformed},
		"others_sheet":         {g.host, func(r *account.JoinRequest) { r.Sheet = other.m.Record().Sheet }, p2p.ErrMalformed},
		"no_sheet":             {g.host, func(r *account.JoinRequest) { r.Sheet = nil }, p2p.ErrMalformed},
		"name":                 {g.host, func(r *account.JoinRequest) { r.Name = "\x1b[2J" }, p2p.ErrMalformed},
	} {
		req := good
		tc.edit(&req)
		if _, err := account.NewClient(tc.host).Join(t.Context(), h.host.Self(), req); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	if len(h.Requests()) != 0 {
		t.Errorf("requests %+v", h.Requests())
	}
	c.Turn(25 * time.Hour)
	if _, err := account.NewClient(g.host).Join(t.Context(), h.host.Self(), good); err == nil {
		t.Error("asked with a record that has ended")
	}
}

func TestPayeesByTheirAreaRecord(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	a, b := newGrid(t, c, "payers"), newGrid(t, c, "payees")
	h.member(a)
	approve := func(key caps.PublicKey) error {
		_, err := account.NewClient(a.gateway).Approve(t.Context(), h.host.Self(), ask(key, b, manager.Export, a.gateway.credential(t)))
		return err
	}
	if err := approve(b.contact.Key()); !errors.Is(err, p2p.ErrRefused) {
		t.Errorf("payee's area is not admitted: got %v, want refused", err)
	}
	if _, err := h.Admit(t.Context(), b.m.Area(), clearinghouse.Terms{}); err != nil {
		t.Fatal(err)
	}
	if err := approve(b.contact.Key()); !errors.Is(err, p2p.ErrNotFound) {
		t.Errorf("no area record yet: got %v, want not found", err)
	}
	h.member(b)
	if err := approve(b.contact.Key()); err != nil {
		t.Error(err)
	}
	// A contact point that is revoked in its grid is none here, once that is out.
	if _, err := b.m.Revoke(t.Context(), b.contact.Key()); err != nil {
		t.Fatal(err)
	}
	b.publish()
	if err := approve(b.contact.Key()); !errors.Is(err, p2p.ErrRefused) {
		t.Errorf("revoked contact point: got %v, want refused", err)
	}
	if _, err := h.Suspend(t.Context(), b.m.Area(), true); err != nil {
		t.Fatal(err)
	}
	next := b.node(roster.Contact)
	b.publish()
	if err := approve(next.Key()); !errors.Is(err, p2p.ErrDenied) {
		t.Errorf("suspended payee: got %v, want denied", err)
	}
	c.Turn(25 * time.Hour) // b's record has ended, and it went away
	if _, err := h.Suspend(t.Context(), b.m.Area(), false); err != nil {
		t.Fatal(err)
	}
	a.refresh(a.gateway)
	if err := approve(next.Key()); !errors.Is(err, p2p.ErrExpired) {
		t.Errorf("ended record: got %v, want expired", err)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	a, b, outside := newGrid(t, c, "payers"), newGrid(t, c, "payees"), newGrid(t, c, "outside")
	h.member(a)
	h.member(b)
	good := a.gateway.credential(t)
	approve := func(n node, cred []byte) error {
		_, err := account.NewClient(n).Approve(t.Context(), h.host.Self(), ask(b.contact.Key(), b, manager.Export, cred))
		return err
	}
	parsed, err := roster.ParseCredential(good)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := roster.ParseCredential(outside.gateway.credential(t))
	if err != nil {
		t.Fatal(err)
	}
	mixed, err := roster.Credential{Delegation: parsed.Delegation, Certificate: foreign.Certificate}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		n    node
		cred []byte
		want error
	}{
		"good":             {a.gateway, good, nil},
		"none":             {a.gateway, nil, p2p.ErrMalformed},
		"stolen":           {b.gateway, good, p2p.ErrDenied},
		"own_grids_not_in": {outside.gateway, outside.gateway.credential(t), p2p.ErrDenied},
		"mixed":            {outside.gateway, mixed, p2p.ErrDenied},
		"delegation_alone": {a.gateway, delegationOf(t, a), p2p.ErrMalformed},
		"a_client_s":       {a.client, a.client.credential(t), p2p.ErrDenied},
		"payees_own_grid":  {b.gateway, b.gateway.credential(t), p2p.ErrRefused},
		"junk":             {a.gateway, []byte("junk"), p2p.ErrMalformed},
	} {
		if err := approve(tc.n, tc.cred); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	// Another member is revoked: credentials of before are void as soon as the new
	// epoch is out, and good gateways get new ones.
	if _, err := a.m.Revoke(t.Context(), a.client.Key()); err != nil {
		t.Fatal(err)
	}
	if err := approve(a.gateway, good); err != nil {
		t.Errorf("before the news: %v", err)
	}
	a.publish()
	if err := approve(a.gateway, good); !errors.Is(err, p2p.ErrExpired) {
		t.Errorf("after the news: got %v, want expired", err)
	}
	a.refresh(a.gateway)
	if err := approve(a.gateway, a.gateway.credential(t)); err != nil {
		t.Errorf("with a new credential: %v", err)
	}
	// A new delegation makes those under the old one void.
	fresh := a.gateway.credential(t)
	if _, err := a.m.RenewDelegation(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.publish()
	if err := approve(a.gateway, fresh); !errors.Is(err, p2p.ErrConflict) {
		t.Errorf("under an older delegation: got %v, want conflict", err)
	}
	a.refresh(a.gateway)
	c.Turn(25 * time.Hour)
	if _, err := a.gateway.holder.Credential(); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("a day later: got %v, want ErrExpired", err)
	}
	if err := approve(a.gateway, fresh); !errors.Is(err, p2p.ErrExpired) {
		t.Errorf("ended certificate: got %v, want expired", err)
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	g, outside := newGrid(t, c, "in"), newGrid(t, c, "out")
	h.member(g)
	offer := func(by *p2p.Host, of *grid) error {
		return area.Offer(t.Context(), by, h.host.Self(), of.m.Area(), of.m.Record())
	}
	for name, tc := range map[string]struct {
		by   *p2p.Host
		of   *grid
		want error
	}{
		"manager":        {g.host, g, nil},
		"contact_point":  {g.contact.Host, g, nil},
		"client":         {g.client.Host, g, p2p.ErrDenied},
		"other_manager":  {outside.host, g, p2p.ErrDenied},
		"not_a_member":   {outside.host, outside, p2p.ErrDenied},
		"for_a_stranger": {g.host, outside, p2p.ErrDenied},
	} {
		if err := offer(tc.by, tc.of); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	// Anybody may look up.
	r, err := area.Lookup(t.Context(), outside.host, h.host.Self(), g.m.Area())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := r.Open(g.m.Area(), c.Now()); err != nil || len(info.Sheet.Contacts) != 1 {
		t.Errorf("record %+v, %v", info, err)
	}
	if _, err := area.Lookup(t.Context(), outside.host, h.host.Self(), outside.m.Area()); !errors.Is(err, p2p.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}

// resolver finds what the directory lacks.
type resolver struct{ g *grid }

func (r resolver) Resolve(_ context.Context, code caps.AreaCode) (area.Info, error) {
	return r.g.m.Record().Open(code, r.g.clock.Now())
}

func TestResolverHelpsOut(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	a, b := newGrid(t, c, "payers"), newGrid(t, c, "payees")
	h.member(a)
	if _, err := h.Admit(t.Context(), b.m.Area(), clearinghouse.Terms{}); err != nil {
		t.Fatal(err)
	}
	h.close()
	ch, err := clearinghouse.Open(t.Context(), clearinghouse.Config{Dir: h.dir, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	host := hostOf(t, ch.HostKey())
	if err := ch.Serve(host, resolver{b}); err != nil {
		t.Fatal(err)
	}
	if _, err := account.NewClient(a.gateway).Approve(t.Context(), host.Self(), ask(b.contact.Key(), b, manager.Export, a.gateway.credential(t))); err != nil {
		t.Error(err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	a, b, waiting := newGrid(t, c, "payers"), newGrid(t, c, "payees"), newGrid(t, c, "waiting")
	h.member(a)
	h.member(b)
	if _, err := waiting.m.Subscribe(t.Context(), h.host.Self()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Revoke(t.Context(), b.gateway.Key()); err != nil {
		t.Fatal(err)
	}
	ap, err := account.NewClient(a.gateway).Approve(t.Context(), h.host.Self(), ask(b.contact.Key(), b, manager.Export, a.gateway.credential(t)))
	if err != nil {
		t.Fatal(err)
	}
	tariff := b.tariff(manager.Export).Value
	post := func(total uint64) billing.Receipt {
		t.Helper()
		r, err := account.NewClient(b.contact).Post(t.Context(), h.host.Self(), voucher(t, a.gateway.PrivKey(), ap.Value.Channel, tariff, total))
		if err != nil {
			t.Fatal(err)
		}
		return r.Value
	}
	post(100 * mib)
	receipt := post(300 * mib)
	snapshot := func() string {
		accounts, err := h.Accounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st, err := h.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		bill, err := h.Statement(t.Context(), a.m.Area(), 0, true)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := h.Areas().Get(b.m.Area())
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal([]any{accounts, st, h.Requests(), bill.Value, rec.SheetSeq})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	want := snapshot()
	h.close()
	h.open(c)
	if got := snapshot(); got != want {
		t.Errorf("after the restart\n%s\nbefore\n%s", got, want)
	}
	if again := post(300 * mib); again != receipt {
		t.Errorf("posting again: %+v, before %+v", again, receipt)
	}
	if _, err := account.NewClient(b.gateway).Approve(t.Context(), h.host.Self(), ask(a.contact.Key(), a, manager.Export, b.gateway.credential(t))); !errors.Is(err, p2p.ErrDenied) {
		t.Errorf("a key that was revoked: got %v, want denied", err)
	}
	ask := ask(b.contact.Key(), b, manager.Export, a.gateway.credential(t))
	ask.UsedBytes = 300 * mib
	renewed, err := account.NewClient(a.gateway).Approve(t.Context(), h.host.Self(), ask)
	if err != nil || renewed.Value.Channel != ap.Value.Channel || renewed.Value.CapBytes != gib+300*mib {
		t.Errorf("renewed to %+v, %v", renewed.Value, err)
	}
}

// The same bill from both ends and from the house: M9.
func TestGridsReadTheirBills(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	a, b := newGrid(t, c, "payers"), newGrid(t, c, "payees")
	h.member(a)
	h.member(b)
	ap, err := account.NewClient(a.gateway).Approve(t.Context(), h.host.Self(), ask(b.contact.Key(), b, manager.Export, a.gateway.credential(t)))
	if err != nil {
		t.Fatal(err)
	}
	v := voucher(t, a.gateway.PrivKey(), ap.Value.Channel, b.tariff(manager.Export).Value, 512*mib)
	if _, err := account.NewClient(b.contact).Post(t.Context(), h.host.Self(), v); err != nil {
		t.Fatal(err)
	}
	owed, err := a.m.GridStatement(t.Context(), h.Key(), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	earned, err := b.m.GridStatement(t.Context(), h.Key(), ap.Value.Period, false)
	if err != nil {
		t.Fatal(err)
	}
	if owed.Value.Debit != billing.Unit/2 || earned.Value.Credit != owed.Value.Debit || owed.Value.Lines[0].Voucher != earned.Value.Lines[0].Voucher {
		t.Errorf("owed %+v, earned %+v", owed.Value, earned.Value)
	}
	accounts, err := h.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum billing.Credits
	for _, acct := range accounts {
		sum += acct.Balance
	}
	if sum != 0 {
		t.Errorf("balances add up to %v", sum) // I2
	}
	if _, err := a.m.GridStatement(t.Context(), a.gateway.Key(), 0, true); !errors.Is(err, manager.ErrNotSubscribed) {
		t.Errorf("got %v, want ErrNotSubscribed", err)
	}
	if err := a.m.Unsubscribe(t.Context(), h.Key()); err != nil || len(a.m.Clearinghouses()) != 0 {
		t.Errorf("unsubscribing: %v", err)
	}
	if err := a.m.Unsubscribe(t.Context(), h.Key()); !errors.Is(err, manager.ErrNotSubscribed) {
		t.Errorf("got %v, want ErrNotSubscribed", err)
	}
}

func TestDeposits(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := newHouse(t, c, nil)
	code := caps.NewAreaCode(hostOf(t, nil).Key())
	if _, err := h.Deposit(t.Context(), code, 1); !errors.Is(err, clearinghouse.ErrNoGrid) {
		t.Errorf("got %v, want ErrNoGrid", err)
	}
	if _, err := h.Admit(t.Context(), code, clearinghouse.Terms{Name: "x", Deposit: 5}); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Deposit(t.Context(), code, 7); err != nil || got.Deposit != 12 || got.Name != "x" {
		t.Errorf("account %+v, %v", got, err)
	}
	if got, err := h.Deposit(t.Context(), code, -12); err != nil || got.Deposit != 0 {
		t.Errorf("account %+v, %v", got, err)
	}
	if _, err := h.Deposit(t.Context(), code, -1); !errors.Is(err, clearinghouse.ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
	if _, err := h.Deposit(t.Context(), code, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Deposit(t.Context(), code, 1<<62+1<<62-1); !errors.Is(err, billing.ErrOverflow) {
		t.Errorf("got %v, want ErrOverflow", err)
	}
	if _, err := h.Admit(t.Context(), code, clearinghouse.Terms{CreditLine: -1}); !errors.Is(err, clearinghouse.ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
	if _, err := h.Admit(t.Context(), caps.AreaCode{}, clearinghouse.Terms{}); !errors.Is(err, clearinghouse.ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
	if _, err := h.Statement(t.Context(), caps.NewAreaCode(h.Key()), 0, true); !errors.Is(err, ledger.ErrNoAccount) {
		t.Errorf("got %v, want ErrNoAccount", err)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t, newClock(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Error(err)
	}
}
