package roster_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

func TestRosterRoundTrip(t *testing.T) {
	t.Parallel()
	want := sample(5)
	b, err := want.MarshalRecord()
	if err != nil {
		t.Fatal(err)
	}
	var got roster.Roster
	if err := got.UnmarshalRecord(b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, m := range want.Members {
		if found, ok := got.Find(m.Key); !ok || !reflect.DeepEqual(found, m) {
			t.Errorf("Find(%s) = %+v, %v", m.Key, found, ok)
		}
	}
	if _, ok := got.Find(mallory); ok {
		t.Error("found a key that is not a member's")
	}
	if got := got.With(roster.Gateway | roster.Contact); len(got) != 1 || got[0].Key != carol {
		t.Errorf("With(gateway+contact) = %v", got)
	}
}

func TestRosterRefusesEveryCut(t *testing.T) {
	t.Parallel()
	r := sample(5)
	b, err := r.MarshalRecord()
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if err := new(roster.Roster).UnmarshalRecord(b[:n]); !errors.Is(err, roster.ErrMalformed) {
			t.Fatalf("%d of %d bytes: got %v, want ErrMalformed", n, len(b), err)
		}
	}
	if err := new(roster.Roster).UnmarshalRecord(append(b, 0)); !errors.Is(err, roster.ErrMalformed) {
		t.Errorf("a byte more: got %v, want ErrMalformed", err)
	}
}

func TestRosterValidate(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*roster.Roster){
		"no_area":             func(r *roster.Roster) { r.Area = caps.AreaCode{} },
		"number_0":            func(r *roster.Roster) { r.Sequence = 0 },
		"ends_before_begin":   func(r *roster.Roster) { r.NotAfter = r.IssuedAt },
		"negative_time":       func(r *roster.Roster) { r.IssuedAt = -1 },
		"member_order":        func(r *roster.Roster) { r.Members[0], r.Members[1] = r.Members[1], r.Members[0] },
		"member_twice":        func(r *roster.Roster) { r.Members[1] = r.Members[0] },
		"member_without_key":  func(r *roster.Roster) { r.Members[0].Key = caps.PublicKey{} },
		"no_role":             func(r *roster.Roster) { r.Members[0].Roles = 0 },
		"unknown_role":        func(r *roster.Roster) { r.Members[0].Roles = 1 << 20 },
		"long_name":           func(r *roster.Roster) { r.Members[0].Name = strings.Repeat("x", roster.MaxName+1) },
		"escape_in_name":      func(r *roster.Roster) { r.Members[0].Name = "a\x1b[2J" },
		"bidi_in_name":        func(r *roster.Roster) { r.Members[0].Name = "a\u202eb" },
		"name_not_utf8":       func(r *roster.Roster) { r.Members[0].Name = "\xff" },
		"too_many_addrs":      func(r *roster.Roster) { r.Members[0].Addrs = make([]string, roster.MaxAddrs+1) },
		"empty_addr":          func(r *roster.Roster) { r.Members[0].Addrs = []string{""} },
		"not_a_multiaddr":     func(r *roster.Roster) { r.Members[0].Addrs = []string{"127.0.0.1:80"} },
		"addr_with_peer":      func(r *roster.Roster) { r.Members[0].Addrs = []string{"/p2p/" + alice.String()} },
		"manager_addr":        func(r *roster.Roster) { r.ManagerAddrs = []string{"x"} },
		"clearinghouse_key":   func(r *roster.Roster) { r.Clearinghouses[0].Key = caps.PublicKey{} },
		"many_clearinghouses": func(r *roster.Roster) { r.Clearinghouses = make([]p2p.Peer, roster.MaxClearinghouses+1) },
		"long_tariff":         func(r *roster.Roster) { r.LocalTariff = make([]byte, 1025) },
		"many_members":        func(r *roster.Roster) { r.Members = make([]roster.Member, roster.MaxMembers+1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sample(1)
			edit(&r)
			if _, err := r.MarshalRecord(); !errors.Is(err, roster.ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
		})
	}
}

// A count that promises more members than there are bytes must not allocate them.
//
//nolint:paralleltest // testing.AllocsPerRun counts for the whole program
func TestRosterCountIsCheckedFirst(t *testing.T) {
	r := sample(1)
	r.Members = nil
	b, err := r.MarshalRecord()
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-2], b[len(b)-1] = 0x0f, 0xff
	allocs := testing.AllocsPerRun(10, func() {
		if err := new(roster.Roster).UnmarshalRecord(b); !errors.Is(err, roster.ErrMalformed) {
			t.Errorf("got %v, want ErrMalformed", err)
		}
	})
	if allocs > 100 {
		t.Errorf("%.0f allocations for a lie about the count", allocs)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	good := bundle(t, sample(1))
	otherRoster := sample(1)
	otherRoster.Area = otherArea
	for name, c := range map[string]struct {
		bundle roster.Bundle
		after  time.Duration
		want   error
	}{
		"good":               {bundle: good},
		"last_second":        {bundle: good, after: 24 * time.Hour},
		"roster_ended":       {bundle: good, after: 24*time.Hour + time.Second, want: roster.ErrExpired},
		"delegation_ended":   {bundle: good, after: 31 * 24 * time.Hour, want: roster.ErrExpired},
		"forged_roster":      {bundle: roster.Bundle{Delegation: good.Delegation, Roster: seal(t, malloryKey, sample(1))}, want: roster.ErrSigner},
		"grid_key_roster":    {bundle: roster.Bundle{Delegation: good.Delegation, Roster: seal(t, gridKey, sample(1))}, want: roster.ErrSigner},
		"forged_delegation":  {bundle: roster.Bundle{Delegation: delegation(t, malloryKey, managerKey, 1), Roster: good.Roster}, want: roster.ErrSigner},
		"other_delegate":     {bundle: roster.Bundle{Delegation: delegation(t, gridKey, malloryKey, 1), Roster: good.Roster}, want: roster.ErrSigner},
		"other_area":         {bundle: bundle(t, otherRoster), want: roster.ErrArea},
		"certificate_inside": {bundle: roster.Bundle{Delegation: good.Delegation, Roster: seal(t, managerKey, certificate(alice, roster.Client))}, want: roster.ErrMalformed},
		"no_delegation":      {bundle: roster.Bundle{Roster: good.Roster}, want: roster.ErrMalformed},
		"no_roster":          {bundle: roster.Bundle{Delegation: good.Delegation}, want: roster.ErrMalformed},
		"long_delegation":    {bundle: roster.Bundle{Delegation: make([]byte, 1<<20), Roster: good.Roster}, want: roster.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := roster.Open(theArea, c.bundle, start.Add(c.after))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && (v.Roster.Value.Sequence != 1 || v.Delegation.Delegate != keyOf(managerKey)) {
				t.Errorf("opened to %+v", v)
			}
			if err != nil && v.Roster.Verified() {
				t.Error("a value came with the error")
			}
		})
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]roster.Role{
		"server":                        roster.Server,
		"client+gateway":                roster.Client | roster.Gateway,
		"contact,client":                roster.Contact | roster.Client,
		"server+client+gateway+contact": roster.Server | roster.Client | roster.Gateway | roster.Contact,
	} {
		got, err := roster.ParseRoles(text)
		if err != nil || got != want {
			t.Errorf("ParseRoles(%q) = %v, %v", text, got, err)
		}
		if again, err := roster.ParseRoles(got.String()); err != nil || again != got {
			t.Errorf("ParseRoles(%q) = %v, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "+", "boss", "server+server", "Server"} {
		if got, err := roster.ParseRoles(text); !errors.Is(err, roster.ErrMalformed) {
			t.Errorf("ParseRoles(%q) = %v, %v; want ErrMalformed", text, got, err)
		}
	}
	for _, r := range []roster.Role{0, 1 << 10} {
		if r.Valid() {
			t.Errorf("%s is valid", r)
		}
		_ = fmt.Sprint(r)
	}
}

func TestTrimAddrs(t *testing.T) {
	t.Parallel()
	in := []string{"bad", "/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1/p2p/" + alice.String(), "/dns4/" + strings.Repeat("x", 200) + "/tcp/1"}
	for range roster.MaxAddrs + 3 {
		in = append(in, "/ip4/1.2.3.4/tcp/2")
	}
	got := roster.TrimAddrs(alice, in)
	if len(got) != roster.MaxAddrs || got[0] != "/ip4/1.2.3.4/tcp/1" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkOpen(b *testing.B) {
	r := sample(1)
	r.Members = nil
	for i := range 200 {
		m := member(keyOf(testKey(byte(i))), roster.Server, "server of somebody")
		m.Addrs = []string{"/ip4/192.0.2.1/tcp/4001"}
		r.Members = append(r.Members, m)
	}
	sortMembers(&r)
	bun := bundle(b, r)
	b.SetBytes(int64(len(bun.Roster)))
	for b.Loop() {
		if _, err := roster.Open(theArea, bun, start); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSeedIsFixed(t *testing.T) {
	t.Parallel()
	if a, b := roster.SeedOf(alice), roster.SeedOf(bob); bytes.Equal(a[:], b[:]) || a != roster.SeedOf(alice) {
		t.Error("seeds do not follow from keys")
	}
}
