package node

import (
	"context"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

// published is a roster with a tariff.
type published struct{ tariff []byte }

func (p *published) Current() (v roster.Verified, err error) {
	v.Roster.Value.ExportTariff = p.tariff
	return v, nil
}

// A payer may hear of a new price before the payee does; the payee looks for a newer roster before it refuses. Prices
// seen before are honoured without a look, others not at all.
func TestTariffBook(t *testing.T) {
	t.Parallel()
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := p2p.KeyOf(key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tariff := func(sequence uint64) sealed.Sealed[billing.Tariff] {
		s, err := sealed.Seal(key, billing.Tariff{
			Area: caps.NewAreaCode(public), Sequence: sequence, Currency: "EUR", PerGiB: 1,
			ValidFrom: now.Add(-time.Hour).Unix(), ValidUntil: now.Add(time.Hour).Unix(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, second, third := tariff(1), tariff(2), tariff(3)
	members, looks := &published{first.Bytes}, 0
	b := &tariffBook{
		members: members, current: func(r roster.Roster) []byte { return r.ExportTariff },
		look: func(context.Context) bool {
			looks++
			members.tariff = second.Bytes
			return true
		},
	}
	if _, err := b.now(); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		ask   sealed.Sealed[billing.Tariff]
		ok    bool
		looks int
	}{{first, true, 0}, {second, true, 1}, {first, true, 1}, {third, false, 2}} {
		got, ok := b.old(billing.HashTariff(tt.ask))
		if ok != tt.ok || ok && got.Value.Sequence != tt.ask.Value.Sequence || looks != tt.looks {
			t.Errorf("step %d: %v, tariff %d, %d looks", i, ok, got.Value.Sequence, looks)
		}
	}
}
