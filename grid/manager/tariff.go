package manager

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p/durable"
)

// Terms are a price. Amounts are in the grid's currency.
type Terms struct {
	PerGiB    billing.Credits `json:"per_gib"`
	PerLookup billing.Credits `json:"per_lookup"`
	// FreeBytes are free on each channel: of each pair of nodes in each period.
	FreeBytes uint64 `json:"free_bytes"`
	// TollFree means that nothing is charged or metered and that nobody needs an
	// approval; strangers are served at a limited rate. The others are then zero.
	TollFree bool `json:"toll_free"`
}

// Market says who is asked a price.
type Market string

const (
	// Local is what gateways ask of this grid's clients.
	Local Market = "local"
	// Export is what contact points ask of strangers.
	Export Market = "export"
)

// TariffInfo is a tariff in force.
type TariffInfo struct {
	Market   Market    `json:"market"`
	Sequence uint64    `json:"sequence"`
	Currency string    `json:"currency"`
	Terms    Terms     `json:"terms"`
	Until    time.Time `json:"until"`
}

// tariffLife is how long a tariff is valid; it is renewed, with another hash, at
// half of it.
const tariffLife = 90 * 24 * time.Hour

// SetTariff sets a price. It holds for channels opened from now on; those that
// are open keep the tariff they were opened with.
func (m *Manager) SetTariff(ctx context.Context, market Market, terms Terms) (TariffInfo, error) {
	var info TariffInfo
	err := m.change(ctx, func(s *state) error {
		t, err := s.tariff(market)
		if err != nil {
			return err
		}
		if err := s.issueTariff(m.key, t, terms, m.cfg.Now()); err != nil {
			return err
		}
		info, err = s.tariffInfo(market)
		return err
	})
	return info, err
}

// Tariffs lists the tariffs in force.
func (m *Manager) Tariffs() ([]TariffInfo, error) {
	s := m.state()
	var out []TariffInfo
	for _, market := range []Market{Local, Export} {
		info, err := s.tariffInfo(market)
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

func (s *state) tariff(market Market) (*tariff, error) {
	switch market {
	case Local:
		return &s.Local, nil
	case Export:
		return &s.Export, nil
	}
	return nil, fmt.Errorf("%w: no tariff is called %q; there are %s and %s", ErrArgument, market, Local, Export)
}

func (s *state) issueTariff(key crypto.PrivKey, t *tariff, terms Terms, now time.Time) error {
	v := billing.Tariff{
		Area:       s.Area,
		Sequence:   s.TariffSeq + 1,
		Currency:   s.Currency,
		PerGiB:     terms.PerGiB,
		PerLookup:  terms.PerLookup,
		FreeBytes:  terms.FreeBytes,
		ValidFrom:  now.Unix(),
		ValidUntil: now.Add(tariffLife).Unix(),
		TollFree:   terms.TollFree,
	}
	if err := v.Validate(now); err != nil {
		return fmt.Errorf("%w: tariff: %w", ErrArgument, err)
	}
	signed, err := sealed.Seal(key, v)
	if err != nil {
		return fmt.Errorf("signing tariff: %w", err)
	}
	s.TariffSeq++
	t.Terms, t.Sealed = terms, signed.Bytes
	return nil
}

// renewTariffs signs the tariffs again that are past half of their life.
func (s *state) renewTariffs(key crypto.PrivKey, now time.Time) error {
	for _, t := range []*tariff{&s.Local, &s.Export} {
		v, err := sealed.Open[billing.Tariff](t.Sealed)
		if err != nil {
			return fmt.Errorf("%w: tariff: %w", durable.ErrState, err)
		}
		if time.Unix(v.Value.ValidUntil, 0).Sub(now) > tariffLife/2 {
			continue
		}
		if err := s.issueTariff(key, t, t.Terms, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) tariffInfo(market Market) (TariffInfo, error) {
	t, err := s.tariff(market)
	if err != nil {
		return TariffInfo{}, err
	}
	v, err := sealed.Open[billing.Tariff](t.Sealed)
	if err != nil {
		return TariffInfo{}, fmt.Errorf("%w: tariff: %w", durable.ErrState, err)
	}
	return TariffInfo{
		Market:   market,
		Sequence: v.Value.Sequence,
		Currency: v.Value.Currency,
		Terms:    t.Terms,
		Until:    time.Unix(v.Value.ValidUntil, 0).UTC(),
	}, nil
}

// sellsHere is the hash of the local tariff and its signer.
func (s *state) sellsHere() (billing.TariffHash, caps.PublicKey, error) {
	v, err := sealed.Open[billing.Tariff](s.Local.Sealed)
	if err != nil {
		return billing.TariffHash{}, caps.PublicKey{}, fmt.Errorf("%w: tariff: %w", durable.ErrState, err)
	}
	return billing.HashTariff(v), v.Signer, nil
}
