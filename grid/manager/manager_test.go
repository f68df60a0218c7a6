package manager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/manager"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/durable"
	"trunkline/p2p/keyfile"
	"trunkline/p2p/p2ptest"
)

var start = time.Unix(1_800_000_000, 0)

// clock is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func create(t *testing.T, c *clock, edit func(*manager.CreateConfig)) string {
	t.Helper()
	cfg := manager.CreateConfig{Dir: filepath.Join(t.TempDir(), "grid"), Name: "the grid", Now: c.Now}
	if edit != nil {
		edit(&cfg)
	}
	code, err := manager.Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if code.IsZero() {
		t.Fatal("no area code")
	}
	return cfg.Dir
}

func open(t *testing.T, c *clock, dir string) *manager.Manager {
	t.Helper()
	m, err := manager.Open(t.Context(), manager.Config{Dir: dir, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() }) // a second time in tests of restarts
	return m
}

func newManager(t *testing.T) (*manager.Manager, *clock, string) {
	t.Helper()
	c := &clock{now: start}
	dir := create(t, c, nil)
	return open(t, c, dir), c, dir
}

func newKey(t *testing.T) caps.PublicKey {
	t.Helper()
	_, id, err := keyfile.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func approve(t *testing.T, m *manager.Manager, key caps.PublicKey, roles roster.Role) {
	t.Helper()
	if _, err := m.Approve(t.Context(), key, roles, "name"); err != nil {
		t.Fatal(err)
	}
}

func current(t *testing.T, m *manager.Manager) roster.Roster {
	t.Helper()
	v, err := m.Current()
	if err != nil {
		t.Fatal(err)
	}
	return v.Roster.Value
}

func info(t *testing.T, m *manager.Manager, c *clock) area.Info {
	t.Helper()
	i, err := m.Record().Open(m.Area(), c.Now())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestCreate(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	dir := create(t, c, nil)
	for _, f := range []string{"grid.key", "manager.key", "state.json"} {
		fi, err := os.Stat(filepath.Join(dir, f))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, fi.Mode(), err)
		}
	}
	if _, err := manager.Create(manager.CreateConfig{Dir: dir}); !errors.Is(err, manager.ErrExists) {
		t.Errorf("a second grid: got %v, want ErrExists", err)
	}
	m := open(t, c, dir)
	if i := info(t, m, c); i.Sheet.Name != "the grid" || i.Delegate != m.Key() {
		t.Errorf("area record %+v", i)
	}
	for name, cfg := range map[string]manager.CreateConfig{
		"currency": {Currency: "euro"},
		"name":     {Name: "a\x1b[2J"},
		"long":     {Name: strings.Repeat("x", 65)},
		"credit":   {CreditLine: -1},
		"price":    {Local: manager.Terms{PerGiB: -1}},
		"tollfree": {Export: manager.Terms{PerGiB: 1, TollFree: true}},
	} {
		cfg.Dir = filepath.Join(t.TempDir(), name)
		if _, err := manager.Create(cfg); !errors.Is(err, manager.ErrArgument) {
			t.Errorf("%s: got %v, want ErrArgument", name, err)
		}
		if entries, _ := os.ReadDir(cfg.Dir); len(entries) != 0 {
			t.Errorf("%s: left %v behind", name, entries)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	other := create(t, c, nil)
	for name, tc := range map[string]struct {
		spoil func(dir string) error
		want  error
	}{
		"nothing_there": {func(dir string) error { return os.Remove(filepath.Join(dir, "state.json")) }, manager.ErrNoGrid},
		"damaged_state": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "state.json"), []byte("{"), 0o600) }, durable.ErrState},
		"newer_state": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "state.json"), []byte(`{"schema":2}`), 0o600)
		}, durable.ErrState},
		"key_of_another": {func(dir string) error {
			return os.Rename(filepath.Join(other, "manager.key"), filepath.Join(dir, "manager.key"))
		}, keyfile.ErrKey},
		"key_readable":    {func(dir string) error { return os.Chmod(filepath.Join(dir, "manager.key"), 0o644) }, keyfile.ErrKey},
		"key_missing":     {func(dir string) error { return os.Remove(filepath.Join(dir, "manager.key")) }, os.ErrNotExist},
		"key_is_no_key":   {func(dir string) error { return os.WriteFile(filepath.Join(dir, "manager.key"), []byte("x"), 0o600) }, keyfile.ErrKey},
		"grid_key_absent": {func(dir string) error { return os.Remove(filepath.Join(dir, "grid.key")) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := create(t, c, nil)
			if err := tc.spoil(dir); err != nil {
				t.Fatal(err)
			}
			m, err := manager.Open(t.Context(), manager.Config{Dir: dir, Now: c.Now})
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if err == nil {
				_ = m.Close()
			}
		})
	}
}

// A server that goes on with somebody's shares keeps that one's id, which is nobody else's.
func TestSetSeed(t *testing.T) {
	t.Parallel()
	m, _, _ := newManager(t)
	key, other := newKey(t), newKey(t)
	approve(t, m, key, roster.Server)
	approve(t, m, other, roster.Server)
	seed := [20]byte{1, 2, 3}
	before := current(t, m).Sequence
	if _, err := m.SetSeed(t.Context(), key, seed); err != nil {
		t.Fatal(err)
	}
	// It outlives a change of roles.
	approve(t, m, key, roster.Server|roster.Contact)
	r := current(t, m)
	if e, ok := r.Find(key); !ok || e.Seed != seed || r.Sequence <= before {
		t.Errorf("roster %d has %+v", r.Sequence, e)
	}
	for name, tt := range map[string]struct {
		key  caps.PublicKey
		seed [20]byte
		want error
	}{
		"taken":    {other, seed, manager.ErrArgument},
		"none":     {other, [20]byte{}, manager.ErrArgument},
		"stranger": {newKey(t), [20]byte{9}, manager.ErrNoMember},
	} {
		if _, err := m.SetSeed(t.Context(), tt.key, tt.seed); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.SetSeed(t.Context(), key, seed); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

func TestApproveAndRevoke(t *testing.T) {
	t.Parallel()
	m, _, _ := newManager(t)
	key := newKey(t)
	seq := current(t, m).Sequence
	approve(t, m, key, roster.Client)
	r := current(t, m)
	if e, ok := r.Find(key); !ok || e.Roles != roster.Client || e.Seed != roster.SeedOf(key) || e.Since != start.Unix() || r.Sequence != seq+1 {
		t.Errorf("roster %d has %+v", r.Sequence, e)
	}
	// Again: other roles; the name stays unless there is another.
	if got, err := m.Approve(t.Context(), key, roster.Server, ""); err != nil || got.Roles != "server" || got.Name != "name" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := m.Allow(key, roster.Client); !errors.Is(err, roster.ErrRole) {
		t.Errorf("got %v, want ErrRole", err)
	}
	epoch, err := m.Revoke(t.Context(), key)
	if err != nil || epoch != 1 {
		t.Errorf("epoch %d, %v", epoch, err)
	}
	r = current(t, m)
	if _, ok := r.Find(key); ok || r.Epoch != 1 {
		t.Error("still on the roster")
	}
	if err := m.Allow(key, roster.Server); !errors.Is(err, roster.ErrNotMember) {
		t.Errorf("got %v, want ErrNotMember", err)
	}
	if _, err := m.Approve(t.Context(), key, roster.Client, ""); !errors.Is(err, manager.ErrRevoked) {
		t.Errorf("approving again: got %v, want ErrRevoked", err)
	}
	if again, err := m.Revoke(t.Context(), key); err != nil || again != 1 {
		t.Errorf("revoking again: %d, %v", again, err)
	}
	if _, err := m.Revoke(t.Context(), newKey(t)); !errors.Is(err, manager.ErrNoMember) {
		t.Errorf("revoking a stranger: got %v, want ErrNoMember", err)
	}
	for name, tc := range map[string]struct {
		key   caps.PublicKey
		roles roster.Role
		name  string
	}{
		"no_role": {newKey(t), 0, ""}, "unknown_role": {newKey(t), 64, ""}, "no_key": {caps.PublicKey{}, roster.Client, ""},
		"grid_key": {m.Area().Key(), roster.Client, ""}, "name": {newKey(t), roster.Client, "\x1b"},
	} {
		if _, err := m.Approve(t.Context(), tc.key, tc.roles, tc.name); !errors.Is(err, manager.ErrArgument) {
			t.Errorf("%s: got %v, want ErrArgument", name, err)
		}
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	m, c, dir := newManager(t)
	keep, gone := newKey(t), newKey(t)
	approve(t, m, keep, roster.Client|roster.Gateway)
	approve(t, m, gone, roster.Server)
	if _, err := m.Revoke(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SetTariff(t.Context(), manager.Local, manager.Terms{PerGiB: 7}); err != nil {
		t.Fatal(err)
	}
	if err := m.SetCredit(t.Context(), keep, 5*billing.Unit, billing.Unit); err != nil {
		t.Fatal(err)
	}
	if err := m.Announce(t.Context(), []string{"/ip4/192.0.2.1/tcp/1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Invite(t.Context(), roster.Server, 3, 0, ""); err != nil {
		t.Fatal(err)
	}
	cert, err := m.Certify(t.Context(), keep, nil)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func(m *manager.Manager) string {
		accounts, err := m.Accounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tariffs, err := m.Tariffs()
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal([]any{m.Members(), m.Tickets(), m.Status(), accounts, tariffs, m.Clearinghouses(), m.Record(), current(t, m)})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := snapshot(m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open(t, c, dir)
	if got := snapshot(m); got != want {
		t.Errorf("after the restart\n%s\nbefore\n%s", got, want)
	}
	if _, err := m.Approve(t.Context(), gone, roster.Server, ""); !errors.Is(err, manager.ErrRevoked) {
		t.Errorf("got %v, want ErrRevoked", err)
	}
	if later, err := m.Certify(t.Context(), keep, nil); err != nil || later.Value.Serial <= cert.Value.Serial {
		t.Errorf("certificate %d after %d, %v", later.Value.Serial, cert.Value.Serial, err)
	}
}

// A change that cannot be written has not happened.
func TestChangeNeedsTheDisk(t *testing.T) {
	t.Parallel()
	m, _, dir := newManager(t)
	approve(t, m, newKey(t), roster.Client)
	before := current(t, m)
	tariffs, err := m.Tariffs()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SetTariff(t.Context(), manager.Local, manager.Terms{PerGiB: 9}); err == nil {
		t.Error("a tariff was set without a disk")
	}
	if got := current(t, m); got.Sequence != before.Sequence || string(got.LocalTariff) != string(before.LocalTariff) {
		t.Errorf("roster %d after %d", got.Sequence, before.Sequence)
	}
	if got, err := m.Tariffs(); err != nil || got[0] != tariffs[0] {
		t.Errorf("tariffs %+v, %v", got, err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SetTariff(t.Context(), manager.Local, manager.Terms{PerGiB: 9}); err != nil {
		t.Error(err)
	}
}

func TestTariffs(t *testing.T) {
	t.Parallel()
	m, c, _ := newManager(t)
	set, err := m.SetTariff(t.Context(), manager.Export, manager.Terms{PerGiB: 2 * billing.Unit, PerLookup: 3, FreeBytes: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.SetTariff(t.Context(), manager.Local, manager.Terms{TollFree: true}); err != nil {
		t.Fatal(err)
	}
	i, r := info(t, m, c), current(t, m)
	if string(i.Sheet.Tariff) != string(r.ExportTariff) {
		t.Error("sheet and roster have different tariffs")
	}
	v, err := sealed.OpenFrom[billing.Tariff](m.Key(), i.Sheet.Tariff)
	if err != nil {
		t.Fatal(err)
	}
	if v.Value.PerGiB != 2*billing.Unit || v.Value.PerLookup != 3 || v.Value.FreeBytes != 4 || v.Value.Sequence != set.Sequence ||
		v.Value.Area != m.Area() || v.Value.Currency != "CREDIT" || v.Value.Validate(c.Now()) != nil {
		t.Errorf("tariff %+v", v.Value)
	}
	for name, bad := range map[string]manager.Terms{"negative": {PerGiB: -1}, "toll_free_price": {TollFree: true, PerLookup: 1}} {
		if _, err := m.SetTariff(t.Context(), manager.Local, bad); !errors.Is(err, manager.ErrArgument) {
			t.Errorf("%s: got %v, want ErrArgument", name, err)
		}
	}
	if _, err := m.SetTariff(t.Context(), "import", manager.Terms{}); !errors.Is(err, manager.ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
	// Renewed by itself, at the same price, long before the end.
	c.Turn(46 * 24 * time.Hour)
	if err := m.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := m.Tariffs()
	if err != nil || got[1].Terms != set.Terms || !got[1].Until.After(set.Until) || got[1].Sequence <= set.Sequence {
		t.Errorf("tariffs %+v, %v", got, err)
	}
}

func TestSheetListsContactPoints(t *testing.T) {
	t.Parallel()
	m, c, _ := newManager(t)
	silent, contact := newKey(t), newKey(t)
	approve(t, m, silent, roster.Contact)
	approve(t, m, contact, roster.Contact|roster.Server)
	approve(t, m, newKey(t), roster.Server)
	addrs := []string{"/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1"}
	before := info(t, m, c)
	if _, err := m.Certify(t.Context(), contact, addrs); err != nil {
		t.Fatal(err)
	}
	got := info(t, m, c)
	if len(got.Sheet.Contacts) != 1 || got.Sheet.Contacts[0].Key != contact || fmt.Sprint(got.Sheet.Contacts[0].Addrs) != fmt.Sprint(addrs) {
		t.Errorf("contacts %v", got.Sheet.Contacts)
	}
	if got.SheetSeq <= before.SheetSeq {
		t.Errorf("sheet %d after %d", got.SheetSeq, before.SheetSeq)
	}
	// The same addresses make no new roster.
	seq := current(t, m).Sequence
	c.Turn(time.Minute)
	if _, err := m.Certify(t.Context(), contact, addrs); err != nil {
		t.Fatal(err)
	}
	// And a member that changes them all the time does not make one each time.
	for i := range 10 {
		if _, err := m.Certify(t.Context(), contact, []string{fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", i+10)}); err != nil {
			t.Fatal(err)
		}
	}
	if now := current(t, m).Sequence; now != seq+1 {
		t.Errorf("%d rosters for one member's addresses", now-seq)
	}
}

// However many contact points there are, the sheet fits.
func TestSheetFits(t *testing.T) {
	t.Parallel()
	m, c, _ := newManager(t)
	for range 40 {
		key := newKey(t)
		approve(t, m, key, roster.Contact)
		var addrs []string
		for i := range roster.MaxAddrs {
			addrs = append(addrs, fmt.Sprintf("/dns4/a-rather-long-name-of-a-contact-point.example.org/tcp/%d", i+1))
		}
		if _, err := m.Certify(t.Context(), key, addrs); err != nil {
			t.Fatal(err)
		}
	}
	if got := info(t, m, c); len(got.Sheet.Contacts) < 16 {
		t.Errorf("only %d contact points are listed", len(got.Sheet.Contacts))
	}
}

func TestDelegationIsRenewedWhileTheKeyIsThere(t *testing.T) {
	t.Parallel()
	m, c, dir := newManager(t)
	first := m.Status()
	if !first.GridKey || first.Delegation != 1 || len(first.Warnings) != 0 {
		t.Errorf("status %+v", first)
	}
	for range 4 {
		c.Turn(16 * 24 * time.Hour)
		if err := m.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		info(t, m, c)
		current(t, m)
	}
	if got := m.Status(); got.Delegation != 5 {
		t.Errorf("delegation %d after 64 days", got.Delegation)
	}

	// Offline: warned in time, refused at the end, repaired from elsewhere.
	keyPath := filepath.Join(t.TempDir(), "offline.key")
	if err := os.Rename(filepath.Join(dir, "grid.key"), keyPath); err != nil {
		t.Fatal(err)
	}
	c.Turn(16 * 24 * time.Hour)
	if err := m.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Status(); got.Delegation != 5 || len(got.Warnings) != 0 {
		t.Errorf("14 days before the end: %+v", got)
	}
	c.Turn(5 * 24 * time.Hour)
	if err := m.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Status(); len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "offline") {
		t.Errorf("9 days before the end: %q", got.Warnings)
	}
	c.Turn(10 * 24 * time.Hour)
	if err := m.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Current(); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("after the end: got %v, want ErrExpired", err)
	}
	if got := m.Status(); len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "has ended") {
		t.Errorf("after the end: %q", got.Warnings)
	}
	if _, err := m.RenewDelegation(t.Context()); !errors.Is(err, manager.ErrNoGridKey) {
		t.Errorf("without the key: got %v, want ErrNoGridKey", err)
	}
	for name, tc := range map[string]struct {
		key caps.PublicKey
		seq uint64
	}{"other_manager": {newKey(t), 6}, "old_number": {m.Key(), 5}} {
		b, err := manager.SignDelegation(keyPath, m.Area(), tc.key, tc.seq, c.Now(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.InstallDelegation(t.Context(), b); !errors.Is(err, manager.ErrArgument) {
			t.Errorf("%s: got %v, want ErrArgument", name, err)
		}
	}
	b, err := manager.SignDelegation(keyPath, m.Area(), m.Key(), 6, c.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.InstallDelegation(t.Context(), b)
	if err != nil || got.Delegation != 6 || len(got.Warnings) != 0 {
		t.Errorf("installed: %+v, %v", got, err)
	}
	current(t, m)
	info(t, m, c)
}

func TestRosterIsIssuedAgain(t *testing.T) {
	t.Parallel()
	m, c, _ := newManager(t)
	seq := current(t, m).Sequence
	c.Turn(24 * time.Hour)
	if err := m.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := current(t, m).Sequence; got != seq {
		t.Errorf("roster %d after a day, %d before", got, seq)
	}
	info(t, m, c) // the sheet, of 24 h, was signed again
	c.Turn(24 * time.Hour)
	if err := m.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := current(t, m)
	if r.Sequence != seq+1 || r.NotAfter != c.Now().Add(7*24*time.Hour).Unix() {
		t.Errorf("roster %d until %d", r.Sequence, r.NotAfter)
	}
}

func serve(t *testing.T, m *manager.Manager, publisher manager.Publisher) *p2p.Host {
	t.Helper()
	h := p2ptest.Host(t, func(c *p2p.Config) { c.Key = m.HostKey() })
	if err := m.Serve(t.Context(), h, publisher); err != nil {
		t.Fatal(err)
	}
	return h
}

func join(t *testing.T, text string, c *clock) (caps.PublicKey, error) {
	t.Helper()
	tk, err := roster.ParseTicket(text)
	if err != nil {
		t.Fatal(err)
	}
	h := p2ptest.Host(t, nil)
	_, err = roster.Join(t.Context(), h, h.Key(), tk, "", h.Addrs(), c.Now())
	return h.Key(), err
}

func TestTickets(t *testing.T) {
	t.Parallel()
	m, c, dir := newManager(t)
	if _, err := m.Invite(t.Context(), roster.Server, 1, 0, ""); !errors.Is(err, manager.ErrNotServing) {
		t.Errorf("before Serve: got %v, want ErrNotServing", err)
	}
	serve(t, m, nil)
	one, err := m.Invite(t.Context(), roster.Server, 0, 0, "shed")
	if err != nil {
		t.Fatal(err)
	}
	if one.Uses != 1 || one.Left != 1 || one.Roles != "server" || !one.Expires.Equal(start.Add(72*time.Hour)) {
		t.Errorf("ticket %+v", one)
	}
	key, err := join(t, one.Text, c)
	if err != nil {
		t.Fatal(err)
	}
	r := current(t, m)
	if e, ok := r.Find(key); !ok || e.Roles != roster.Server || e.Name != "shed" || len(e.Addrs) == 0 {
		t.Errorf("joined as %+v", e)
	}
	if _, err := join(t, one.Text, c); !errors.Is(err, roster.ErrTicketUsed) {
		t.Errorf("a second use: got %v, want ErrTicketUsed", err)
	}
	// The same key again, because the answer was lost: fine, and counts once.
	tk, err := roster.ParseTicket(one.Text)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Redeem(t.Context(), key, tk.Secret, "", nil); err != nil {
		t.Errorf("the same key again: %v", err)
	}

	ten, err := m.Invite(t.Context(), roster.Server, 3, time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := join(t, ten.Text, c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := join(t, ten.Text, c); !errors.Is(err, roster.ErrTicketUsed) {
		t.Errorf("a fourth of three: got %v, want ErrTicketUsed", err)
	}
	if list := m.Tickets(); len(list) != 2 || list[1].Left != 0 || len(list[1].UsedBy) != 3 || list[1].Text != "" {
		t.Errorf("tickets %+v", list)
	}

	// Revoked, ended, and one that the manager never made.
	dropped, err := m.Invite(t.Context(), roster.Client, 1, time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RevokeTicket(t.Context(), dropped.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, dropped.Text, c); !errors.Is(err, roster.ErrTicket) {
		t.Errorf("revoked ticket: got %v, want ErrTicket", err)
	}
	if err := m.RevokeTicket(t.Context(), dropped.ID); !errors.Is(err, manager.ErrNoTicket) {
		t.Errorf("got %v, want ErrNoTicket", err)
	}
	late, err := m.Invite(t.Context(), roster.Client, 1, time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	tk, err = roster.ParseTicket(late.Text)
	if err != nil {
		t.Fatal(err)
	}
	c.Turn(time.Hour + time.Second)
	if err := m.Redeem(t.Context(), newKey(t), tk.Secret, "", nil); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("ended ticket: got %v, want ErrExpired", err)
	}
	if err := m.Redeem(t.Context(), newKey(t), roster.RandomSecret(), "", nil); !errors.Is(err, roster.ErrTicket) {
		t.Errorf("unknown ticket: got %v, want ErrTicket", err)
	}
	// The file does not help to redeem a ticket.
	state, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	secret := tk.Secret.Bytes()
	if s := string(state); strings.Contains(s, late.Text[40:60]) || strings.Contains(s, caps.EncodeBase32(secret[:])) || strings.Contains(s, string(secret[:])) {
		t.Error("the state file holds a ticket's secret")
	}
	for name, err := range map[string]error{
		"roles": second(m.Invite(t.Context(), 0, 1, 0, "")), "uses": second(m.Invite(t.Context(), roster.Client, -1, 0, "")),
		"life": second(m.Invite(t.Context(), roster.Client, 1, -time.Hour, "")),
	} {
		if !errors.Is(err, manager.ErrArgument) {
			t.Errorf("%s: got %v, want ErrArgument", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A key that was revoked does not come back by a ticket, not even by its own.
func TestTicketAfterRevocation(t *testing.T) {
	t.Parallel()
	m, _, _ := newManager(t)
	serve(t, m, nil)
	info, err := m.Invite(t.Context(), roster.Server, 2, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	tk, err := roster.ParseTicket(info.Text)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	if err := m.Redeem(t.Context(), key, tk.Secret, "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Revoke(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := m.Redeem(t.Context(), key, tk.Secret, "", nil); !errors.Is(err, roster.ErrNotMember) {
		t.Errorf("got %v, want ErrNotMember", err)
	}
}

// K3: a holder that is connected refuses a revoked client, server, gateway or
// contact point from its next refresh on.
func TestRevocationReachesHolders(t *testing.T) {
	t.Parallel()
	for _, role := range []roster.Role{roster.Client, roster.Server, roster.Gateway, roster.Contact} {
		t.Run(role.String(), func(t *testing.T) {
			t.Parallel()
			m, c, _ := newManager(t)
			mh := serve(t, m, nil)
			sh := p2ptest.Host(t, nil)
			bad := newKey(t)
			approve(t, m, sh.Key(), roster.Server)
			approve(t, m, bad, role)
			h, err := roster.OpenHolder(roster.HolderConfig{
				Area: m.Area(), Self: sh.Key(), Path: filepath.Join(t.TempDir(), "roster"), Host: sh, Manager: mh.Self(), Now: c.Now,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := h.Allow(bad, role); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Revoke(t.Context(), bad); err != nil {
				t.Fatal(err)
			}
			if err := h.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := h.Allow(bad, role); !errors.Is(err, roster.ErrNotMember) {
				t.Errorf("got %v, want ErrNotMember", err)
			}
			// And whoever is revoked hears it from the manager.
			if _, err := m.Revoke(t.Context(), sh.Key()); err != nil {
				t.Fatal(err)
			}
			if err := h.Refresh(t.Context()); !errors.Is(err, roster.ErrNotMember) {
				t.Errorf("got %v, want ErrNotMember", err)
			}
		})
	}
}

// fakePublisher fails as long as it is told to.
type fakePublisher struct {
	mu    sync.Mutex
	err   error
	seen  []area.Record
	after chan struct{} // sent to after each attempt, if set
}

func (p *fakePublisher) Publish(_ context.Context, _ caps.AreaCode, r area.Record) (area.Published, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, r)
	if p.after != nil {
		p.after <- struct{}{}
	}
	return area.Published{}, p.err
}

func (p *fakePublisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

func TestPublish(t *testing.T) {
	t.Parallel()
	m, c, _ := newManager(t)
	if err := m.Publish(t.Context(), true); !errors.Is(err, manager.ErrNotServing) {
		t.Errorf("got %v, want ErrNotServing", err)
	}
	p := &fakePublisher{}
	serve(t, m, p)
	publish := func(want int, step string) {
		t.Helper()
		before := p.count()
		if err := m.Publish(t.Context(), false); p.count() > before && !errors.Is(err, p.err) || p.count() == before && err != nil {
			t.Errorf("%s: %v", step, err)
		}
		if got := p.count(); got != want {
			t.Errorf("%s: published %d times, want %d", step, got, want)
		}
	}
	publish(1, "first")
	publish(1, "nothing new")
	if got := m.Status().Published; !got.Equal(start) {
		t.Errorf("published at %v", got)
	}
	if _, err := m.SetTariff(t.Context(), manager.Export, manager.Terms{PerGiB: 1}); err != nil {
		t.Fatal(err)
	}
	publish(2, "new tariff")
	c.Turn(4 * time.Hour)
	publish(3, "due again")
	p.err = errors.New("nobody there")
	c.Turn(4 * time.Hour)
	publish(4, "failing")
	publish(4, "resting")
	c.Turn(time.Minute)
	publish(5, "trying again")
}

func TestRun(t *testing.T) {
	t.Parallel()
	m, _, _ := newManager(t)
	p := &fakePublisher{after: make(chan struct{})}
	serve(t, m, p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	<-p.after // at once
	if _, err := m.SetTariff(t.Context(), manager.Export, manager.Terms{PerGiB: 5}); err != nil {
		t.Fatal(err)
	}
	<-p.after // and with each change
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServeWantsItsKey(t *testing.T) {
	t.Parallel()
	m, _, _ := newManager(t)
	if err := m.Serve(t.Context(), p2ptest.Host(t, nil), nil); !errors.Is(err, manager.ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
}
