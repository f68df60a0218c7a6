package roster_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

func openHolder(t *testing.T, path string, c *clock) *roster.Holder {
	t.Helper()
	h, err := roster.OpenHolder(roster.HolderConfig{Area: theArea, Self: alice, Path: path, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHolderAllow(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := openHolder(t, filepath.Join(t.TempDir(), "roster"), c)
	if err := h.Allow(alice, roster.Client); !errors.Is(err, roster.ErrNoRoster) {
		t.Errorf("without a roster: got %v, want ErrNoRoster", err)
	}
	if err := h.Adopt(bundle(t, sample(1)), nil); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key  caps.PublicKey
		role roster.Role
		want error
	}{
		"client_as_client":     {alice, roster.Client, nil},
		"client_as_server":     {alice, roster.Server, roster.ErrRole},
		"client_as_gateway":    {alice, roster.Gateway, roster.ErrRole},
		"server_as_server":     {bob, roster.Server, nil},
		"server_as_client":     {bob, roster.Client, roster.ErrRole},
		"gateway_as_gateway":   {carol, roster.Gateway, nil},
		"contact_or_client":    {carol, roster.Client | roster.Contact, nil},
		"stranger":             {mallory, roster.Client, roster.ErrNotMember},
		"manager_is_no_member": {keyOf(managerKey), roster.Client, roster.ErrNotMember},
		"nobody":               {caps.PublicKey{}, roster.Client, roster.ErrNotMember},
	} {
		t.Run(name, func(t *testing.T) {
			err := h.Allow(tc.key, tc.role)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if tc.want != nil && !errors.Is(err, p2p.ErrDenied) {
				t.Errorf("%v does not travel as denied", err)
			}
		})
	}
	if got := h.Servers(); len(got) != 1 || got[0].Key != bob {
		t.Errorf("servers are %v", got)
	}
	c.Turn(24*time.Hour + time.Second)
	if err := h.Allow(alice, roster.Client); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("after the end: got %v, want ErrExpired", err)
	}
	if got := h.Servers(); got != nil {
		t.Errorf("after the end there are servers %v", got)
	}
}

func TestHolderRatchet(t *testing.T) {
	t.Parallel()
	c := newClock()
	path := filepath.Join(t.TempDir(), "roster")
	h := openHolder(t, path, c)
	// Delegation 2 restarts the count: order is by delegation, then by roster.
	of := func(d, r uint64) roster.Bundle {
		return roster.Bundle{Delegation: delegation(t, gridKey, managerKey, d), Roster: seal(t, managerKey, sample(r))}
	}
	forged := of(9, 9)
	forged.Roster = seal(t, malloryKey, sample(9))
	fork := sample(5)
	fork.Epoch++
	steps := []struct {
		name   string
		bundle roster.Bundle
		want   error
		then   uint64 // sequence held afterwards
	}{
		{"first", of(1, 4), nil, 4},
		{"older", of(1, 3), roster.ErrRollback, 4},
		{"newer", of(1, 5), nil, 5},
		{"same_again", of(1, 5), nil, 5},
		{"same_number_other_content", roster.Bundle{Delegation: delegation(t, gridKey, managerKey, 1), Roster: seal(t, managerKey, fork)}, roster.ErrRollback, 5},
		{"forged_newer", forged, roster.ErrSigner, 5},
		{"next_delegation_lower_roster", of(2, 1), nil, 1},
		{"old_delegation_higher_roster", of(1, 99), roster.ErrRollback, 1},
	}
	for _, s := range steps {
		for _, restart := range []bool{false, true} {
			if restart {
				h = openHolder(t, path, c)
			}
			if restart && s.want == nil {
				continue // done before the restart; what is held is looked at below
			}
			if err := h.Adopt(s.bundle, nil); !errors.Is(err, s.want) || (err == nil) != (s.want == nil) {
				t.Fatalf("%s (restart %v): got %v, want %v", s.name, restart, err, s.want)
			}
		}
		v, err := h.Current()
		if err != nil || v.Roster.Value.Sequence != s.then {
			t.Fatalf("%s: holds %d, %v; want %d", s.name, v.Roster.Value.Sequence, err, s.then)
		}
	}
}

// A roster that ends while the node is off is forgotten, its number is not.
func TestHolderRatchetOutlivesTheRoster(t *testing.T) {
	t.Parallel()
	c := newClock()
	path := filepath.Join(t.TempDir(), "roster")
	if err := openHolder(t, path, c).Adopt(bundle(t, sample(5)), nil); err != nil {
		t.Fatal(err)
	}
	c.Turn(48 * time.Hour)
	h := openHolder(t, path, c)
	if _, err := h.Current(); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("got %v, want ErrExpired", err)
	}
	older := sample(4)
	older.NotAfter = c.Now().Add(time.Hour).Unix()
	if err := h.Adopt(bundle(t, older), nil); !errors.Is(err, roster.ErrRollback) {
		t.Errorf("an older roster: got %v, want ErrRollback", err)
	}
	newer := sample(6)
	newer.NotAfter = c.Now().Add(time.Hour).Unix()
	if err := h.Adopt(bundle(t, newer), nil); err != nil {
		t.Errorf("a newer roster: %v", err)
	}
}

func TestHolderCredential(t *testing.T) {
	t.Parallel()
	c := newClock()
	path := filepath.Join(t.TempDir(), "roster")
	h := openHolder(t, path, c)
	if _, err := h.Credential(); !errors.Is(err, roster.ErrNoRoster) {
		t.Errorf("got %v, want ErrNoRoster", err)
	}
	// A certificate of somebody else is not taken for ours.
	if err := h.Adopt(bundle(t, sample(1)), seal(t, managerKey, certificate(bob, roster.Server))); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Credential(); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("with another's certificate: got %v, want ErrExpired", err)
	}
	if err := h.Adopt(bundle(t, sample(2)), seal(t, managerKey, certificate(alice, roster.Client))); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*roster.Holder{h, openHolder(t, path, c)} {
		b, err := h.Credential()
		if err != nil {
			t.Fatal(err)
		}
		cred, err := roster.ParseCredential(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cred.Verify(theArea, alice, c.Now()); err != nil {
			t.Errorf("does not verify: %v", err)
		}
	}
	c.Turn(time.Hour + time.Second)
	if _, err := h.Credential(); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("after its end: got %v, want ErrExpired", err)
	}
}

func TestHolderTellsChanges(t *testing.T) {
	t.Parallel()
	h := openHolder(t, filepath.Join(t.TempDir(), "roster"), newClock())
	changed := h.Changed()
	if err := h.Adopt(bundle(t, sample(1)), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Fatal("a new roster was not told")
	}
	changed = h.Changed()
	if err := h.Adopt(bundle(t, sample(1)), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("the same roster was told as new")
	default:
	}
}

func TestHolderRefusesDamagedFiles(t *testing.T) {
	t.Parallel()
	c := newClock()
	path := filepath.Join(t.TempDir(), "roster")
	if err := openHolder(t, path, c).Adopt(bundle(t, sample(1)), nil); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"cut":          good[:len(good)/2],
		"junk":         []byte("hello"),
		"newer_schema": append([]byte{0x08, 0x02}, good[2:]...),
		"empty":        {},
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := roster.OpenHolder(roster.HolderConfig{Area: theArea, Self: alice, Path: path, Now: c.Now}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// When the disk refuses, nothing changes.
func TestHolderKeepsOldWhenWritingFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h := openHolder(t, filepath.Join(dir, "roster"), newClock())
	if err := h.Adopt(bundle(t, sample(1)), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := h.Adopt(bundle(t, sample(2)), nil); err == nil {
		t.Fatal("adopted without a disk")
	}
	if v, err := h.Current(); err != nil || v.Roster.Value.Sequence != 1 {
		t.Errorf("holds %d, %v; want 1", v.Roster.Value.Sequence, err)
	}
}

func BenchmarkAllow(b *testing.B) {
	h, err := roster.OpenHolder(roster.HolderConfig{Area: theArea, Self: alice, Path: filepath.Join(b.TempDir(), "roster"), Now: newClock().Now})
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Adopt(bundle(b, sample(1)), nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := h.Allow(alice, roster.Client); err != nil {
			b.Fatal(err)
		}
	}
}
