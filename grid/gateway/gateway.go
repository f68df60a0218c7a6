// Package gateway is a grid's way out: files of other grids, fetched from their
// contact points for the grid's own clients, within the operator's policy.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// Config makes a [Source]. Payer and Resolver are required.
type Config struct {
	// Payer speaks to contact points. The Source does not close it.
	Payer *longdistance.Payer
	// Resolver finds areas.
	Resolver longdistance.Resolver
	// Refresh looks an area up again, after its record proved to be out of
	// date, and returns when Resolver knows what there is to know. May be nil.
	Refresh func(ctx context.Context, code caps.AreaCode)
	// Policy returns which areas may be called, and at what price, now. nil:
	// toll-free ones only.
	Policy func() longdistance.AreaPolicy
	// Approvers picks whom to ask for approval to call an area; nil: the
	// clearinghouses that its record names.
	Approvers func(area.Info) []p2p.Peer
	// MaxCredits is the most that one request of a client may cost the grid,
	// in micro-units of the called area's currency. 0: no limit.
	MaxCredits billing.Credits
	// Now is the clock of tariffs. Default time.Now.
	Now func() time.Time
}

// Source opens other grids' files. It is a longdistance.MutableSource, safe for
// concurrent use.
type Source struct{ config Config }

var _ longdistance.MutableSource = (*Source)(nil)

// NewSource makes a source.
func NewSource(c Config) (*Source, error) {
	if c.Payer == nil || c.Resolver == nil {
		return nil, errors.New("a gateway needs a payer and a resolver")
	}
	if c.Policy == nil {
		c.Policy = func() longdistance.AreaPolicy { return longdistance.AreaPolicy{TollFreeOnly: true} }
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return &Source{c}, nil
}

// Open begins to fetch what r asks for from the first contact point, of the
// first area, that serves it. What the client may spend on its gateway is
// another account, in another currency: the grid's own limit goes out instead.
//
// Errors carry the kind of the most telling answer; see
// longdistance.FailedError.
func (s *Source) Open(ctx context.Context, r longdistance.Request) (longdistance.File, error) {
	var f *longdistance.Remote
	err := s.call(ctx, r, func(route longdistance.Route, out longdistance.Request) (err error) {
		f, err = s.config.Payer.Open(ctx, route, out)
		return err
	})
	if err != nil {
		return nil, err // not a typed nil
	}
	return f, nil
}

// OpenMutable is Open for mutable files: from the first contact point that has a
// version which r.Mutable allows.
func (s *Source) OpenMutable(ctx context.Context, r longdistance.Request) (longdistance.Version, error) {
	var v *longdistance.RemoteVersion
	err := s.call(ctx, r, func(route longdistance.Route, out longdistance.Request) (err error) {
		v, err = s.config.Payer.OpenMutable(ctx, route, out)
		return err
	})
	if err != nil {
		return nil, err // not a typed nil
	}
	return v, nil
}

// call opens a file, with areas looked up again if what is known of them proves
// to be out of date.
func (s *Source) call(ctx context.Context, r longdistance.Request, open func(longdistance.Route, longdistance.Request) error) error {
	if len(r.Areas) == 0 {
		return fmt.Errorf("the request names no area to call: %w", p2p.ErrMalformed)
	}
	out := r
	out.MaxCredits = s.config.MaxCredits
	out.Patience = patience(r.Patience)
	used := &lookups{Resolver: s.config.Resolver, found: make(map[caps.AreaCode]area.Info)}
	err := open(s.route(used, r.Areas), out)
	if err != nil && s.config.Refresh != nil && outdated(err) && s.refresh(ctx, used) {
		err = open(s.route(s.config.Resolver, r.Areas), out)
	}
	return err
}

func (s *Source) route(resolver longdistance.Resolver, areas []caps.AreaCode) longdistance.Route {
	return &longdistance.AreaRoute{
		Resolver: resolver, Policy: s.config.Policy(), Areas: areas, Approvers: s.config.Approvers, Now: s.config.Now,
	}
}

// lookups remembers what one call went by. One goroutine uses it.
type lookups struct {
	longdistance.Resolver
	found map[caps.AreaCode]area.Info
}

// Resolve implements longdistance.Resolver.
func (l *lookups) Resolve(ctx context.Context, code caps.AreaCode) (area.Info, error) {
	info, err := l.Resolver.Resolve(ctx, code)
	if err == nil {
		l.found[code] = info
	}
	return info, err
}

// outdated says whether a call may have failed because of an old area record:
// its contact points do not answer, or its tariff is not the one in force.
func outdated(err error) bool {
	var failed *longdistance.FailedError
	return errors.As(err, &failed) && slices.ContainsFunc(failed.Attempts, func(a longdistance.Attempt) bool {
		if errors.Is(a.Err, longdistance.ErrOlder) || errors.Is(a.Err, longdistance.ErrChanged) {
			return false // that is the file
		}
		kind := p2p.KindOf(a.Err)
		return kind == p2p.Conflict || kind == p2p.Unavailable || errors.Is(a.Err, longdistance.ErrTariff)
	})
}

// refreshTimeout is how long a caller waits for newer records.
const refreshTimeout = 5 * time.Second

// refresh looks the areas of a call up again and says whether one has another
// record now.
func (s *Source) refresh(ctx context.Context, used *lookups) bool {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	changed := false
	for code, old := range used.found {
		s.config.Refresh(ctx, code)
		info, err := s.config.Resolver.Resolve(ctx, code)
		changed = changed || err == nil && (info.SheetSeq != old.SheetSeq || info.DelegationSeq != old.DelegationSeq)
	}
	return changed
}

// patience is how long a contact point may take for a step, so that another can
// be tried before the client loses its own patience.
func patience(client time.Duration) time.Duration {
	if client == 0 {
		client = longdistance.DefaultPatience
	}
	return max(client/3, time.Second)
}
