package gateway_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/gateway"
	"trunkline/grid/longdistance"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// A record in the cache that proves wrong is looked up again, and the call is
// made once more if there is a newer one.
func TestOutdatedRecord(t *testing.T) {
	t.Parallel()
	key, public := newKey(t)
	code := caps.NewAreaCode(public)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	_, before := newKey(t)
	_, after := newKey(t)
	record := func(sequence uint64, price billing.Credits, contact caps.PublicKey) area.Info {
		s, err := sealed.Seal(key, billing.Tariff{
			Area: code, Sequence: sequence, Currency: "EUR", PerGiB: price, ValidFrom: now.Add(-time.Hour).Unix(), ValidUntil: now.Add(time.Hour).Unix(),
		})
		must(t, err)
		return area.Info{Area: code, Delegate: public, SheetSeq: sequence, Sheet: area.Sheet{Tariff: s.Bytes, Contacts: []p2p.Peer{{Key: contact}}}}
	}
	gone := errors.Join(errors.New("no route to host"), p2p.ErrUnreachable)
	tests := []struct {
		name    string
		fails   error // of the first contact point
		price   billing.Credits
		newer   bool
		dialled []caps.PublicKey
	}{
		{"contact_point_moved", gone, 1, true, []caps.PublicKey{before, after}},
		{"other_tariff_in_force", p2p.ErrConflict, 1, true, []caps.PublicKey{before, after}},
		{"was_too_dear", gone, 100, true, []caps.PublicKey{after}},
		{"nothing_newer", gone, 1, false, []caps.PublicKey{before}},
		{"refused", p2p.ErrDenied, 1, true, []caps.PublicKey{before}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			current := record(1, tt.price, before)
			var dialled []caps.PublicKey
			self, _ := newKey(t)
			payer, err := longdistance.NewPayer(longdistance.PayerConfig{
				Key: self, Now: func() time.Time { return now },
				Dial: func(_ context.Context, to p2p.Peer) (longdistance.Stream, error) {
					dialled = append(dialled, to.Key)
					return nil, tt.fails
				},
			})
			must(t, err)
			defer func() { must(t, payer.Close()) }()
			g, err := gateway.NewSource(gateway.Config{
				Payer: payer, Now: func() time.Time { return now },
				Policy: func() longdistance.AreaPolicy {
					return longdistance.AreaPolicy{MaxPerGiB: map[string]billing.Credits{"EUR": 10}}
				},
				Resolver: resolver(func(caps.AreaCode) (area.Info, error) { return current, nil }),
				Refresh: func(context.Context, caps.AreaCode) {
					if tt.newer {
						current = record(2, 1, after)
					}
				},
			})
			must(t, err)
			_, err = g.Open(t.Context(), longdistance.Request{Areas: []caps.AreaCode{code}, Cap: caps.CHKVerify{K: 3, N: 10, Size: 1000}, Length: 1000})
			if err == nil || !slices.Equal(dialled, tt.dialled) {
				t.Errorf("%d were dialled, want %d; %v", len(dialled), len(tt.dialled), err)
			}
		})
	}
}
