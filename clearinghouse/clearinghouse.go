package clearinghouse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/ledger/sqlite"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/keyfile"
)

// CreateConfig describes a new clearinghouse.
type CreateConfig struct {
	// Dir is made if it is missing; it must not have a clearinghouse in it.
	Dir string
	// Name is for people, at most 64 bytes.
	Name string
	// Currency of all accounts, 1 to 8 of A-Z and 0-9; default CREDIT. It never
	// changes. Grids whose tariffs are in another cannot earn here.
	Currency string
	// Open admits every grid that asks, at once and with CreditLine, a few an hour.
	// Otherwise grids wait for the operator.
	Open bool
	// CreditLine is what a grid that is admitted at once may owe; default 10.
	CreditLine billing.Credits
	Now        func() time.Time // default time.Now
}

// Defaults of a new clearinghouse.
const (
	DefaultCurrency   = "CREDIT"
	DefaultCreditLine = 10 * billing.Unit
)

// Create makes a clearinghouse and returns its key, which is its name.
// Errors: ErrExists, ErrArgument.
func Create(cfg CreateConfig) (caps.PublicKey, error) {
	var none caps.PublicKey
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Currency == "" {
		cfg.Currency = DefaultCurrency
	}
	if cfg.CreditLine == 0 {
		cfg.CreditLine = DefaultCreditLine
	}
	if err := billing.CheckCurrency(cfg.Currency); err != nil {
		return none, fmt.Errorf("%w: %w", ErrArgument, err)
	}
	if cfg.CreditLine < 0 {
		return none, fmt.Errorf("%w: credit line %s", ErrArgument, cfg.CreditLine)
	}
	if _, err := (area.Sheet{Name: cfg.Name}).Marshal(); err != nil {
		return none, fmt.Errorf("%w: name: %w", ErrArgument, err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return none, fmt.Errorf("making folder: %w", err)
	}
	for _, f := range []string{stateFile, keyFile} {
		if _, err := os.Lstat(filepath.Join(cfg.Dir, f)); !errors.Is(err, fs.ErrNotExist) {
			return none, fmt.Errorf("%s: %w", filepath.Join(cfg.Dir, f), ErrExists)
		}
	}
	key, id, err := keyfile.Generate()
	if err != nil {
		return none, err
	}
	// The state file comes last: without it there is no clearinghouse.
	if err := keyfile.Write(filepath.Join(cfg.Dir, keyFile), key); err != nil {
		return none, err
	}
	s := &state{
		Schema: schema, Name: cfg.Name, Key: id, Created: cfg.Now().UTC().Truncate(time.Second),
		Currency: cfg.Currency, Open: cfg.Open, Line: cfg.CreditLine,
	}
	if err := s.save(cfg.Dir); err != nil {
		return none, err
	}
	return id, nil
}

// Config says which clearinghouse is run, and how. Only Dir is required.
type Config struct {
	// Dir is the folder that [Create] made.
	Dir string
	// Policy sizes the approvals.
	Policy account.Policy
	// RequestsPerHour bounds how many grids that are not known yet may ask to be
	// admitted within an hour, over all; default 60.
	RequestsPerHour int
	Now             func() time.Time // default time.Now
	Logger          *slog.Logger     // default discards
}

// A Clearinghouse runs in one process at a time. All methods are safe for
// concurrent use.
type Clearinghouse struct {
	cfg      Config
	key      crypto.PrivKey
	store    ledger.Store
	areas    *area.Cache
	approver *account.Approver

	mu       sync.Mutex // serialises changes; held over writes
	st       *state     // replaced, never changed
	resolver Resolver   // nil: only what members published here is known
	hour     time.Time  // beginning of the hour that asked counts in
	asked    int
}

// A Resolver finds area records that the directory does not have, or that ended
// there. An [area.Resolver] over [Clearinghouse.Areas] is one.
type Resolver interface {
	Resolve(ctx context.Context, code caps.AreaCode) (area.Info, error)
}

// Open opens the clearinghouse in a folder, with its ledger and directory; see Close.
//
// Errors: ErrNone, durable.ErrState, keyfile.ErrKey.
func Open(ctx context.Context, cfg Config) (*Clearinghouse, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.RequestsPerHour <= 0 {
		cfg.RequestsPerHour = 60
	}
	s, err := loadState(cfg.Dir)
	if err != nil {
		return nil, err
	}
	key, err := keyfile.Read(filepath.Join(cfg.Dir, keyFile), s.Key)
	if err != nil {
		return nil, err
	}
	areas, err := area.OpenCache(area.CacheConfig{Dir: filepath.Join(cfg.Dir, areasDir), Now: cfg.Now})
	if err != nil {
		return nil, fmt.Errorf("opening directory: %w", err)
	}
	store, err := sqlite.Open(ctx, filepath.Join(cfg.Dir, ledgerFile))
	if err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	c := &Clearinghouse{cfg: cfg, key: key, store: store, areas: areas, st: s}
	c.approver, err = account.NewApprover(account.ApproverConfig{
		Store: store, Key: key, Members: members{c}, Policy: cfg.Policy, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return c, nil
}

// Close closes the ledger. Call it after Run has returned and the host is closed.
func (c *Clearinghouse) Close() error {
	if err := c.store.Close(); err != nil {
		return fmt.Errorf("closing ledger: %w", err)
	}
	return nil
}

// HostKey is the key that the clearinghouse's host must have.
func (c *Clearinghouse) HostKey() crypto.PrivKey { return c.key }

// Key is the public half of HostKey: the clearinghouse's name.
func (c *Clearinghouse) Key() caps.PublicKey { return c.approver.Key() }

// Approver keeps the grids' accounts.
func (c *Clearinghouse) Approver() *account.Approver { return c.approver }

// Areas is the directory of area records.
func (c *Clearinghouse) Areas() *area.Cache { return c.areas }

// Serve answers the account and area protocols on the host, whose key must be
// HostKey's. resolver may be nil. Call it once.
func (c *Clearinghouse) Serve(h *p2p.Host, resolver Resolver) error {
	if h.Key() != c.Key() {
		return fmt.Errorf("%w: the host is %s, the clearinghouse %s", ErrArgument, h.Key(), c.Key())
	}
	c.mu.Lock()
	c.resolver = resolver
	c.mu.Unlock()
	c.approver.Register(h)
	(&area.Directory{Cache: c.areas, Accept: c.accept, Logger: c.cfg.Logger}).Register(h)
	return nil
}

// Tend gives back ended caps and drops requests that nobody answered in 30 days.
func (c *Clearinghouse) Tend(ctx context.Context) error {
	old := c.cfg.Now().Add(-requestLife).Unix()
	return errors.Join(c.approver.Tend(ctx), c.change(func(s *state) error {
		kept := s.Requests[:0:0]
		for _, r := range s.Requests {
			if r.At > old {
				kept = append(kept, r)
			}
		}
		s.Requests = kept
		return nil
	}))
}

// Run tends the clearinghouse until ctx ends. It returns nil.
func (c *Clearinghouse) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := c.Tend(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.ErrorContext(ctx, "tending the books failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *Clearinghouse) state() *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st
}

// change applies fn to a copy of the state and puts it on disk, if fn changed
// anything, before anybody sees it.
func (c *Clearinghouse) change(fn func(*state) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changeLocked(fn)
}

func (c *Clearinghouse) changeLocked(fn func(*state) error) error {
	next := c.st.clone()
	if err := fn(next); err != nil {
		return err
	}
	if next.same(c.st) {
		return nil
	}
	if err := next.save(c.cfg.Dir); err != nil {
		return err
	}
	c.st = next
	return nil
}
