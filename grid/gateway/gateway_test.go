package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/gateway"
	"trunkline/grid/longdistance"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) (crypto.PrivKey, caps.PublicKey) {
	t.Helper()
	key, err := p2p.GenerateKey()
	must(t, err)
	public, err := p2p.KeyOf(key)
	must(t, err)
	return key, public
}

type resolver func(caps.AreaCode) (area.Info, error)

func (r resolver) Resolve(_ context.Context, code caps.AreaCode) (area.Info, error) { return r(code) }

// What policy forbids is refused before anybody is dialled, in a sentence with
// the numbers; what it allows is dialled.
func TestPolicy(t *testing.T) {
	t.Parallel()
	key, public := newKey(t)
	code := caps.NewAreaCode(public)
	other, otherPublic := newKey(t)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	eur := func(n billing.Credits) map[string]billing.Credits {
		return map[string]billing.Credits{"EUR": n * billing.Unit}
	}
	dialled := errors.New("dialled")
	tests := []struct {
		name   string
		tariff func(*billing.Tariff)
		signer crypto.PrivKey
		policy longdistance.AreaPolicy
		info   func(*area.Info)
		lookup error
		want   error
		says   string
	}{
		{name: "within", policy: longdistance.AreaPolicy{MaxPerGiB: eur(5)}, want: dialled},
		{name: "above", policy: longdistance.AreaPolicy{MaxPerGiB: eur(4)}, want: p2p.ErrRefused, says: "charges 5 EUR per GiB, over the ceiling of 4"},
		{name: "no_ceiling_set", want: p2p.ErrRefused, says: "over the ceiling of 0"},
		{name: "other_currency", policy: longdistance.AreaPolicy{MaxPerGiB: map[string]billing.Credits{"USD": 1 << 50}}, want: p2p.ErrRefused, says: "over the ceiling of 0"},
		{
			name: "look_up_fee", tariff: func(t *billing.Tariff) { t.PerLookup = 7 }, policy: longdistance.AreaPolicy{MaxPerGiB: eur(5)},
			want: p2p.ErrRefused, says: "0.000007 EUR per look-up, over the ceiling of 0",
		},
		{name: "denied", policy: longdistance.AreaPolicy{MaxPerGiB: eur(5), Deny: []caps.AreaCode{code}}, want: p2p.ErrRefused, says: "denies area"},
		{name: "not_on_the_list", policy: longdistance.AreaPolicy{MaxPerGiB: eur(5), Allow: []caps.AreaCode{caps.NewAreaCode(otherPublic)}}, want: p2p.ErrRefused, says: "not on the list"},
		{name: "on_the_list", policy: longdistance.AreaPolicy{MaxPerGiB: eur(5), Allow: []caps.AreaCode{code}}, want: dialled},
		{name: "toll_free_only", policy: longdistance.AreaPolicy{MaxPerGiB: eur(5), TollFreeOnly: true}, want: p2p.ErrRefused, says: "only toll-free"},
		{name: "toll_free", tariff: func(t *billing.Tariff) { t.TollFree, t.PerGiB = true, 0 }, want: dialled},
		{name: "foreign_signature", signer: other, policy: longdistance.AreaPolicy{MaxPerGiB: eur(5)}, want: p2p.ErrRefused, says: "not by its area"},
		{name: "other_areas_tariff", tariff: func(t *billing.Tariff) { t.Area = caps.NewAreaCode(otherPublic) }, policy: longdistance.AreaPolicy{MaxPerGiB: eur(5)}, want: p2p.ErrRefused, says: "tariff of area"},
		{name: "old_tariff", tariff: func(t *billing.Tariff) { t.ValidUntil = now.Unix() }, policy: longdistance.AreaPolicy{MaxPerGiB: eur(5)}, want: p2p.ErrRefused, says: "expired"},
		{name: "no_tariff", info: func(i *area.Info) { i.Sheet.Tariff = nil }, policy: longdistance.AreaPolicy{MaxPerGiB: eur(5)}, want: p2p.ErrRefused},
		{name: "no_contacts", info: func(i *area.Info) { i.Sheet.Contacts = nil }, policy: longdistance.AreaPolicy{MaxPerGiB: eur(5)}, want: p2p.ErrUnavailable, says: "no contact point"},
		{name: "unknown", lookup: area.ErrUnknownArea, want: p2p.ErrNotFound},
		{name: "nobody_answers", lookup: area.ErrNoAnswer, want: p2p.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tariff := billing.Tariff{
				Area: code, Sequence: 1, Currency: "EUR", PerGiB: 5 * billing.Unit,
				ValidFrom: now.Add(-time.Hour).Unix(), ValidUntil: now.Add(time.Hour).Unix(),
			}
			if tt.tariff != nil {
				tt.tariff(&tariff)
			}
			signer := key
			if tt.signer != nil {
				signer = tt.signer
			}
			s, err := sealed.Seal(signer, tariff)
			must(t, err)
			info := area.Info{Area: code, Delegate: public, Sheet: area.Sheet{Tariff: s.Bytes, Contacts: []p2p.Peer{{Key: otherPublic}}}}
			if tt.info != nil {
				tt.info(&info)
			}
			self, _ := newKey(t)
			calls := 0
			payer, err := longdistance.NewPayer(longdistance.PayerConfig{
				Key: self, Now: func() time.Time { return now },
				Dial: func(context.Context, p2p.Peer) (longdistance.Stream, error) {
					calls++
					return nil, dialled
				},
			})
			must(t, err)
			defer func() { must(t, payer.Close()) }()
			g, err := gateway.NewSource(gateway.Config{
				Payer: payer, Policy: func() longdistance.AreaPolicy { return tt.policy }, Now: func() time.Time { return now },
				Resolver: resolver(func(caps.AreaCode) (area.Info, error) { return info, tt.lookup }),
			})
			must(t, err)
			_, fixed := g.Open(t.Context(), longdistance.Request{Areas: []caps.AreaCode{code}, Cap: caps.CHKVerify{K: 3, N: 10, Size: 1000}, Length: 1000})
			if want := tt.want == dialled; (calls > 0) != want { //nolint:errorlint // which row it is
				t.Errorf("%d were dialled", calls)
			}
			_, changing := g.OpenMutable(t.Context(), longdistance.Request{Areas: []caps.AreaCode{code}, Mutable: &longdistance.Wish{}, Length: 1000})
			if want := tt.want == dialled; (calls > 1) != want { //nolint:errorlint // likewise
				t.Errorf("%d were dialled with that of a mutable file", calls)
			}
			for _, err := range []error{fixed, changing} {
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v; want %v that says %q", err, tt.want, tt.says)
				}
			}
		})
	}
}

func TestNeedsAnArea(t *testing.T) {
	t.Parallel()
	self, _ := newKey(t)
	payer, err := longdistance.NewPayer(longdistance.PayerConfig{Key: self, Dial: func(context.Context, p2p.Peer) (longdistance.Stream, error) {
		return nil, p2p.ErrUnreachable
	}})
	must(t, err)
	defer func() { must(t, payer.Close()) }()
	g, err := gateway.NewSource(gateway.Config{Payer: payer, Resolver: resolver(nil)})
	must(t, err)
	if _, err := g.Open(t.Context(), longdistance.Request{Cap: caps.CHKVerify{K: 3, N: 10, Size: 1000}}); !errors.Is(err, p2p.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	if _, err := gateway.NewSource(gateway.Config{}); err == nil {
		t.Error("a gateway of nothing")
	}
}
