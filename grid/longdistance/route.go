package longdistance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// Offer is one payee that may serve a request.
type Offer struct {
	Peer p2p.Peer
	// Area is the area that Peer serves; zero for the home grid's gateways.
	Area caps.AreaCode
	// Tariff is what Peer charges, if that is known beforehand, as it is from
	// an area record. Without Bytes, Peer is asked.
	Tariff sealed.Sealed[billing.Tariff]
	// Signer must have signed the tariff that Peer asks to be paid by. Zero:
	// any signer, for payees that are chosen by their key.
	Signer caps.PublicKey
	// Approvers are who may approve the payer for Peer, in the order in which
	// they are asked.
	Approvers []p2p.Peer
}

// Route names the payees of one request, best first.
//
// Next returns the next one, io.EOF when there are no more; another error
// stands for payees that could not be found, is reported with the attempts,
// and the route goes on. A Route is used by one goroutine.
type Route interface {
	Next(ctx context.Context) (Offer, error)
}

// NewRoute returns a route of payees known beforehand.
func NewRoute(offers ...Offer) Route { return &fixedRoute{offers} }

type fixedRoute struct{ left []Offer }

func (r *fixedRoute) Next(context.Context) (Offer, error) {
	if len(r.left) == 0 {
		return Offer{}, io.EOF
	}
	o := r.left[0]
	r.left = r.left[1:]
	return o, nil
}

// AreaError is a failure to find any payee in an area.
type AreaError struct {
	Area caps.AreaCode
	Err  error
}

func (e *AreaError) Error() string { return fmt.Sprintf("area %s: %v", e.Area.Short(), e.Err) }

// Unwrap returns Err.
func (e *AreaError) Unwrap() error { return e.Err }

// Resolver finds area records. An *area.Resolver is one.
type Resolver interface {
	Resolve(ctx context.Context, code caps.AreaCode) (area.Info, error)
}

// AreaPolicy says which areas may be called, and at what price. The zero
// value calls toll-free areas only.
type AreaPolicy struct {
	// MaxPerGiB is the highest price per GiB that is paid, in micro-units, by
	// currency. A currency that is not named is not paid in.
	MaxPerGiB map[string]billing.Credits
	// MaxPerLookup is the highest price per look-up, in micro-units, by
	// currency; a currency that is not named here may charge none.
	MaxPerLookup map[string]billing.Credits
	// Deny lists areas that are never called.
	Deny []caps.AreaCode
	// Allow lists the only areas that are called; empty: all.
	Allow []caps.AreaCode
	// TollFreeOnly calls toll-free areas only, whatever the other prices.
	TollFreeOnly bool
}

// AllowArea says whether the area may be called at all. The error matches
// p2p.ErrRefused.
func (p AreaPolicy) AllowArea(code caps.AreaCode) error {
	for _, d := range p.Deny {
		if d == code {
			return fmt.Errorf("this gateway's policy denies area %s: %w", code.Short(), p2p.ErrRefused)
		}
	}
	if len(p.Allow) == 0 {
		return nil
	}
	for _, a := range p.Allow {
		if a == code {
			return nil
		}
	}
	return fmt.Errorf("area %s is not on the list of areas that may be called: %w", code.Short(), p2p.ErrRefused)
}

// AllowTariff says whether the tariff's prices are within the ceilings. The
// error matches [ErrTariff] and names both numbers.
func (p AreaPolicy) AllowTariff(t billing.Tariff) error {
	if t.TollFree {
		return nil
	}
	if p.TollFreeOnly {
		return fmt.Errorf("area %s charges %s %s per GiB, and only toll-free areas may be called: %w", t.Area.Short(), t.PerGiB, t.Currency, ErrTariff)
	}
	if limit := p.MaxPerGiB[t.Currency]; t.PerGiB > limit {
		return fmt.Errorf("area %s charges %s %s per GiB, over the ceiling of %s: %w", t.Area.Short(), t.PerGiB, t.Currency, limit, ErrTariff)
	}
	if limit := p.MaxPerLookup[t.Currency]; t.PerLookup > limit {
		return fmt.Errorf("area %s charges %s %s per look-up, over the ceiling of %s: %w", t.Area.Short(), t.PerLookup, t.Currency, limit, ErrTariff)
	}
	return nil
}

// AreaRoute is the route to the contact points of areas, in the order of the
// areas: each is resolved only when those before it have failed.
type AreaRoute struct {
	Resolver Resolver
	Policy   AreaPolicy
	Areas    []caps.AreaCode
	// Approvers picks from an area's record whom to ask for approval: the
	// clearinghouses that both sides have accounts with. nil: all of the
	// record's.
	Approvers func(area.Info) []p2p.Peer
	// Now is the clock of tariffs. Default time.Now.
	Now func() time.Time

	once sync.Once
	left []caps.AreaCode
	next []Offer
}

// Next implements [Route]. Its errors are of type *[AreaError].
func (r *AreaRoute) Next(ctx context.Context) (Offer, error) {
	r.once.Do(r.start)
	for len(r.next) == 0 {
		if len(r.left) == 0 {
			return Offer{}, io.EOF
		}
		code := r.left[0]
		r.left = r.left[1:]
		offers, err := r.offers(ctx, code)
		if err != nil {
			return Offer{Area: code}, &AreaError{Area: code, Err: err}
		}
		r.next = offers
	}
	o := r.next[0]
	r.next = r.next[1:]
	return o, nil
}

func (r *AreaRoute) start() {
	r.left = r.Areas
	if r.Now == nil {
		r.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if r.Approvers == nil {
		r.Approvers = func(i area.Info) []p2p.Peer { return i.Sheet.Clearinghouses }
	}
}

// offers resolves one area and holds its tariff against the policy.
func (r *AreaRoute) offers(ctx context.Context, code caps.AreaCode) ([]Offer, error) {
	if err := r.Policy.AllowArea(code); err != nil {
		return nil, err
	}
	info, err := r.Resolver.Resolve(ctx, code)
	if err != nil {
		return nil, fmt.Errorf("finding its contact points: %w", unavailable(err))
	}
	tariff, err := sealed.Open[billing.Tariff](info.Sheet.Tariff)
	if err != nil {
		return nil, fmt.Errorf("its tariff: %w: %w", err, ErrTariff)
	}
	if err := checkTariff(tariff, code, info.Delegate, r.Now()); err != nil {
		return nil, err
	}
	if err := r.Policy.AllowTariff(tariff.Value); err != nil {
		return nil, err
	}
	if len(info.Sheet.Contacts) == 0 {
		return nil, fmt.Errorf("its record names no contact point: %w", p2p.ErrUnavailable)
	}
	approvers := r.Approvers(info)
	offers := make([]Offer, len(info.Sheet.Contacts))
	for i, c := range info.Sheet.Contacts {
		offers[i] = Offer{Peer: c, Area: code, Tariff: tariff, Signer: info.Delegate, Approvers: approvers}
	}
	return offers, nil
}

// checkTariff checks whose tariff it is and that it is in force.
func checkTariff(t sealed.Sealed[billing.Tariff], code caps.AreaCode, signer caps.PublicKey, now time.Time) error {
	if !signer.IsZero() && t.Signer != signer && t.Signer != code.Key() {
		return fmt.Errorf("it is signed by %s, not by its area: %w", shortKey(t.Signer), ErrTariff)
	}
	if !code.IsZero() && t.Value.Area != code {
		return fmt.Errorf("it is the tariff of area %s: %w", t.Value.Area.Short(), ErrTariff)
	}
	if err := t.Value.Validate(now); err != nil {
		return fmt.Errorf("%w: %w", err, ErrTariff)
	}
	return nil
}

// unavailable gives an error without a kind the kind Unavailable.
func unavailable(err error) error {
	if p2p.KindOf(err) == p2p.Internal && !errors.Is(err, p2p.ErrInternal) {
		return fmt.Errorf("%w: %w", err, p2p.ErrUnavailable)
	}
	return err
}
