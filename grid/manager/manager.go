package manager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing/ledger"
	"trunkline/billing/ledger/sqlite"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/keyfile"
)

// Config says which grid is run, and how. Only Dir is required.
type Config struct {
	// Dir is the folder that [Create] made.
	Dir string
	// GridKey is where the grid key is looked for when it is needed; default
	// grid.key in Dir. The file need not be there.
	GridKey string
	// Policy sizes the approvals of this grid's clients.
	Policy account.Policy
	Lives  Lives
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default discards
}

// A Manager runs one grid. All methods are safe for concurrent use.
type Manager struct {
	cfg      Config
	key      crypto.PrivKey // the delegate's
	store    ledger.Store
	approver *account.Approver

	st   atomic.Pointer[state]    // immutable once stored; on disk before
	open atomic.Pointer[snapshot] // what st.Roster opens to
	kick chan struct{}            // capacity 1: something is due

	mu        sync.Mutex // serialises changes; held over the write
	nextCert  uint64     // next serial to use; below st.SerialsBelow
	certs     map[caps.PublicKey]roster.SealedCertificate
	announced map[caps.PublicKey]time.Time // when a member last changed its addresses
	host      *p2p.Host                    // nil before Serve
	publisher Publisher
	published publication
}

// A Publisher spreads area records. An [area.Resolver] is one.
type Publisher interface {
	Publish(ctx context.Context, code caps.AreaCode, record area.Record) (area.Published, error)
}

// snapshot is the newest roster, opened, or why there is none that counts.
type snapshot struct {
	v   roster.Verified
	err error
}

// Open opens the grid in a folder. The ledger is opened with it; see Close.
//
// Errors: ErrNoGrid, durable.ErrState, keyfile.ErrKey.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.GridKey == "" {
		cfg.GridKey = filepath.Join(cfg.Dir, gridKeyFile)
	}
	cfg.Lives = cfg.Lives.withDefaults()
	s, err := loadState(cfg.Dir)
	if err != nil {
		return nil, err
	}
	key, err := keyfile.Read(filepath.Join(cfg.Dir, hostKeyFile), s.Delegate)
	if err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, filepath.Join(cfg.Dir, "ledger.sqlite"))
	if err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	m := &Manager{
		cfg:       cfg,
		key:       key,
		store:     store,
		kick:      make(chan struct{}, 1),
		nextCert:  s.SerialsBelow,
		certs:     make(map[caps.PublicKey]roster.SealedCertificate),
		announced: make(map[caps.PublicKey]time.Time),
	}
	m.st.Store(s)
	m.approver, err = account.NewApprover(account.ApproverConfig{
		Store: store, Key: key, Members: members{m}, Policy: cfg.Policy, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if err := m.settleAccounts(ctx, s); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	m.reopen()
	if err := m.Tend(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return m, nil
}

// Close closes the ledger. Call it after Run has returned and the host is closed.
func (m *Manager) Close() error {
	if err := m.store.Close(); err != nil {
		return fmt.Errorf("closing ledger: %w", err)
	}
	return nil
}

// Area is the grid's area code.
func (m *Manager) Area() caps.AreaCode { return m.state().Area }

// Name is how the grid calls itself.
func (m *Manager) Name() string { return m.state().Name }

// HostKey is the key that the manager's host must have: the delegate's.
func (m *Manager) HostKey() crypto.PrivKey { return m.key }

// Key is the public half of HostKey, and the approver's name.
func (m *Manager) Key() caps.PublicKey { return m.state().Delegate }

// Approver keeps the members' accounts.
func (m *Manager) Approver() *account.Approver { return m.approver }

// Record is the newest area record.
func (m *Manager) Record() area.Record { return m.state().record() }

func (m *Manager) state() *state { return m.st.Load() }

// Current is the newest roster. Errors: roster.ErrExpired, if the delegation has
// ended and the grid key is needed.
func (m *Manager) Current() (roster.Verified, error) {
	snap := m.open.Load()
	if snap.err != nil {
		return roster.Verified{}, snap.err
	}
	if snap.v.Expired(m.cfg.Now()) {
		return roster.Verified{}, fmt.Errorf("roster ended %s: %w", snap.v.NotAfter().UTC().Format(time.RFC3339), roster.ErrExpired)
	}
	return snap.v, nil
}

// Serve answers the roster and account protocols on the host, whose key must be
// HostKey's, and publishes through publisher, which may be nil. Call it once.
func (m *Manager) Serve(ctx context.Context, h *p2p.Host, publisher Publisher) error {
	if h.Key() != m.Key() {
		return fmt.Errorf("%w: the host is %s, the manager %s", ErrArgument, h.Key(), m.Key())
	}
	m.mu.Lock()
	m.host, m.publisher = h, publisher
	m.mu.Unlock()
	if err := m.Announce(ctx, h.Addrs()); err != nil {
		return err
	}
	roster.NewService(m.Area(), m).Register(h)
	m.approver.Register(h)
	m.wake()
	return nil
}

// Announce tells the members at which addresses the manager is now. Serve calls
// it; call it again when they change.
func (m *Manager) Announce(ctx context.Context, addrs []string) error {
	addrs = roster.TrimAddrs(m.Key(), addrs)
	if slices.Equal(addrs, m.state().Addrs) {
		return nil
	}
	return m.change(ctx, func(s *state) error {
		s.Addrs = addrs
		return nil
	})
}

// change applies fn to a copy of the state, signs a new roster, and puts all of it
// on disk before anybody sees it. When it fails nothing has changed here.
func (m *Manager) change(ctx context.Context, fn func(*state) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changeLocked(ctx, fn)
}

func (m *Manager) changeLocked(ctx context.Context, fn func(*state) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	next := m.state().clone()
	if err := fn(next); err != nil {
		return err
	}
	if err := next.reissue(m.key, m.cfg.Now(), m.cfg.Lives); err != nil {
		return err
	}
	return m.commit(next)
}

// commit saves and then shows a state. The caller holds mu.
func (m *Manager) commit(next *state) error {
	if err := next.save(m.cfg.Dir); err != nil {
		return err
	}
	m.st.Store(next)
	m.reopen()
	m.wake()
	return nil
}

// reopen checks what will be handed out just as those who get it will.
func (m *Manager) reopen() {
	s := m.state()
	v, err := roster.Open(s.Area, roster.Bundle{Delegation: s.Delegation, Roster: s.Roster}, m.cfg.Now())
	m.open.Store(&snapshot{v: v, err: err})
}

func (m *Manager) wake() {
	select {
	case m.kick <- struct{}{}:
	default: // Run will look anyway
	}
}

// Tend does what is due: it renews the delegation if the grid key is there, signs
// rosters, sheets and tariffs again before they end, and gives back ended caps. It
// touches no network.
func (m *Manager) Tend(ctx context.Context) error {
	if err := m.approver.Tend(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, lives := m.cfg.Now(), m.cfg.Lives
	next := m.state().clone()
	renewed, err := m.renewDelegation(next, now)
	if err != nil {
		return err
	}
	if err := next.renewTariffs(m.key, now); err != nil {
		return err
	}
	snap := m.open.Load()
	// A new delegation, a new tariff, or a roster past a quarter of its life.
	due := renewed || next.TariffSeq != m.state().TariffSeq || snap.err != nil ||
		time.Unix(snap.v.Roster.Value.NotAfter, 0).Sub(now) < lives.Roster*3/4
	if due {
		if err := next.issueRoster(m.key, now, lives); err != nil {
			return err
		}
	}
	if err := next.issueSheet(m.key, now, lives, false); err != nil {
		return err
	}
	if !due && next.SheetSeq == m.state().SheetSeq {
		return nil
	}
	return m.commit(next)
}

// Run tends the grid and publishes its area record until ctx ends. It returns nil.
func (m *Manager) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := m.Tend(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Logger.ErrorContext(ctx, "renewing what the manager signs failed", "error", err)
		}
		m.warn(ctx)
		if err := m.Publish(ctx, false); err != nil && ctx.Err() == nil {
			m.cfg.Logger.WarnContext(ctx, "area record was not published everywhere", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.kick:
		case <-tick.C:
		}
	}
}

// gridKeyPresent reports whether the grid key could be used now.
func (m *Manager) gridKeyPresent() bool {
	_, err := os.Stat(m.cfg.GridKey)
	return !errors.Is(err, fs.ErrNotExist)
}
