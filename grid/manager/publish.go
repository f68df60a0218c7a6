package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

const (
	// republishEvery is how often an unchanged area record is published again.
	republishEvery = 4 * time.Hour
	// republishAfterFailure is how soon it is tried again when somebody was missed.
	republishAfterFailure = time.Minute
	publishTimeout        = 30 * time.Second
)

// publication is what became of the last attempt to publish.
type publication struct {
	sheet, delegation uint64    // sequences that were tried
	at                time.Time // when a record last got to somebody
	next              time.Time // when to try the same one again
	warnAt            time.Time // when to repeat warnings
}

// Publish spreads the area record: through the publisher given to Serve, and to
// each clearinghouse of the grid. Unless now is set, it does nothing when the
// newest record is out already and not due again.
//
// The error joins what went wrong; who could be reached has the record.
func (m *Manager) Publish(ctx context.Context, now bool) error {
	m.mu.Lock()
	s, host, publisher, last := m.state(), m.host, m.publisher, m.published
	m.mu.Unlock()
	if host == nil && publisher == nil {
		if now {
			return ErrNotServing
		}
		return nil
	}
	tried := last.sheet == s.SheetSeq && last.delegation == s.DelegationSeq
	if !now && tried && m.cfg.Now().Before(last.next) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	reached, err := m.spread(ctx, s, host, publisher)
	at := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published.sheet, m.published.delegation = s.SheetSeq, s.DelegationSeq
	m.published.next = at.Add(republishAfterFailure)
	if err == nil {
		m.published.next = at.Add(republishEvery)
	}
	if reached {
		m.published.at = at
	}
	return err
}

// spread tells everybody at once, so that one that is silent keeps nobody waiting.
func (m *Manager) spread(ctx context.Context, s *state, host *p2p.Host, publisher Publisher) (reached bool, err error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	tell := func(fn func() error) {
		wg.Go(func() {
			err := fn()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			reached = reached || err == nil
		})
	}
	if publisher != nil {
		tell(func() error {
			_, err := publisher.Publish(ctx, s.Area, s.record())
			return err
		})
	}
	if host != nil {
		for _, c := range s.Clearinghouses {
			tell(func() error { return area.Offer(ctx, host, c.peer(), s.Area, s.record()) })
		}
	}
	wg.Wait()
	return reached, errors.Join(errs...)
}

// SubscriptionInfo is a clearinghouse that the grid settles with.
type SubscriptionInfo struct {
	Key   caps.PublicKey `json:"key"`
	Addrs []string       `json:"addrs"`
	// State is how the grid stands there; only Subscribe fills it in.
	State *account.JoinState `json:"state,omitempty"`
}

// Subscribe asks a clearinghouse for an account and lists it in the area record
// and the roster, so that members and strangers use it. Asking again tells how the
// request stands; a clearinghouse may take its time to admit.
//
// Errors: ErrNotServing, ErrFull; what the clearinghouse says.
func (m *Manager) Subscribe(ctx context.Context, house p2p.Peer) (SubscriptionInfo, error) {
	m.mu.Lock()
	host := m.host
	m.mu.Unlock()
	if host == nil {
		return SubscriptionInfo{}, ErrNotServing
	}
	house.Addrs = roster.TrimAddrs(house.Key, house.Addrs)
	s := m.state()
	standing, err := account.NewClient(host).Join(ctx, house, account.JoinRequest{
		Area: s.Area, Delegation: s.Delegation, Sheet: s.Sheet, Name: s.Name,
	})
	if err != nil {
		return SubscriptionInfo{}, err
	}
	sub := subscription{Key: house.Key, Addrs: house.Addrs}
	listed := slices.ContainsFunc(s.Clearinghouses, func(c subscription) bool {
		return c.Key == sub.Key && slices.Equal(c.Addrs, sub.Addrs)
	})
	if !listed {
		err := m.change(ctx, func(s *state) error {
			s.Clearinghouses = slices.DeleteFunc(s.Clearinghouses, func(c subscription) bool { return c.Key == sub.Key })
			if len(s.Clearinghouses) >= roster.MaxClearinghouses {
				return fmt.Errorf("%w: %d clearinghouses", ErrFull, roster.MaxClearinghouses)
			}
			s.Clearinghouses = append(s.Clearinghouses, sub)
			return nil
		})
		if err != nil {
			return SubscriptionInfo{}, err
		}
	}
	return SubscriptionInfo{Key: sub.Key, Addrs: sub.Addrs, State: &standing}, nil
}

// Unsubscribe takes a clearinghouse out of the area record. The account there, and
// what is owed, stay.
// Errors: ErrNotSubscribed.
func (m *Manager) Unsubscribe(ctx context.Context, house caps.PublicKey) error {
	return m.change(ctx, func(s *state) error {
		n := len(s.Clearinghouses)
		s.Clearinghouses = slices.DeleteFunc(s.Clearinghouses, func(c subscription) bool { return c.Key == house })
		if len(s.Clearinghouses) == n {
			return fmt.Errorf("%s: %w", house, ErrNotSubscribed)
		}
		return nil
	})
}

// Clearinghouses lists those that the grid settles with.
func (m *Manager) Clearinghouses() []SubscriptionInfo {
	out := []SubscriptionInfo{}
	for _, c := range m.state().Clearinghouses {
		out = append(out, SubscriptionInfo{Key: c.Key, Addrs: slices.Clone(c.Addrs)})
	}
	return out
}

// GridStatement fetches the grid's own signed statement from one of its
// clearinghouses; current ignores period.
// Errors: ErrNotServing, ErrNotSubscribed; what the clearinghouse says.
func (m *Manager) GridStatement(ctx context.Context, house caps.PublicKey, period uint64, current bool) (sealed.Sealed[billing.Statement], error) {
	var none sealed.Sealed[billing.Statement]
	m.mu.Lock()
	host := m.host
	m.mu.Unlock()
	if host == nil {
		return none, ErrNotServing
	}
	s := m.state()
	i := slices.IndexFunc(s.Clearinghouses, func(c subscription) bool { return c.Key == house })
	if i < 0 {
		return none, fmt.Errorf("%s: %w", house, ErrNotSubscribed)
	}
	// The delegate speaks for the grid: the delegation is all the proof it takes.
	cred, err := roster.Credential{Delegation: s.Delegation}.Marshal()
	if err != nil {
		return none, err
	}
	if current {
		period = 0
	}
	return account.NewClient(host).Statement(ctx, s.Clearinghouses[i].peer(), account.StatementAsk{
		Account: s.Area.Key(), Period: period, Current: current, Credential: cred,
	})
}
