package clearinghouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// Terms are what the operator grants a grid.
type Terms struct {
	// Name is for people; empty takes the one the grid asked with.
	Name       string          `json:"name"`
	Deposit    billing.Credits `json:"deposit"`
	CreditLine billing.Credits `json:"credit_line"`
	Suspended  bool            `json:"suspended"`
}

// AccountInfo is a grid's account as people see it.
type AccountInfo struct {
	Area      caps.AreaCode   `json:"area"`
	Currency  string          `json:"currency"`
	Balance   billing.Credits `json:"balance"`
	Reserved  billing.Credits `json:"reserved"`
	Available billing.Credits `json:"available"`
	Terms
}

// RequestInfo is a grid that waits to be admitted.
type RequestInfo struct {
	Area    caps.AreaCode  `json:"area"`
	Manager caps.PublicKey `json:"manager"`
	Name    string         `json:"name"`
	At      time.Time      `json:"at"`
}

// Admit gives a grid an account with these terms, or changes the terms of the one
// it has. The grid need not have asked.
//
// Errors: ErrArgument; ledger.ErrCredit, if the new terms would not cover what is
// reserved.
func (c *Clearinghouse) Admit(ctx context.Context, code caps.AreaCode, terms Terms) (AccountInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(ctx, code, terms); err != nil {
		return AccountInfo{}, err
	}
	return c.account(ctx, code)
}

// admit is Admit. The caller holds mu.
func (c *Clearinghouse) admit(ctx context.Context, code caps.AreaCode, terms Terms) error {
	if code.IsZero() {
		return fmt.Errorf("%w: no area code", ErrArgument)
	}
	if terms.Name == "" {
		if i := c.st.request(code); i >= 0 {
			terms.Name = c.st.Requests[i].Name
		} else if a, err := c.store.Account(ctx, code.Key()); err == nil {
			terms.Name = a.Name
		}
	}
	err := c.store.Admit(ctx, code.Key(), ledger.Terms{
		Name: terms.Name, Currency: c.st.Currency, Deposit: terms.Deposit, CreditLine: terms.CreditLine, Suspended: terms.Suspended,
	})
	if err != nil {
		if errors.Is(err, ledger.ErrTerms) {
			err = fmt.Errorf("%w: %w", ErrArgument, err)
		}
		return fmt.Errorf("admitting area %s: %w", code, err)
	}
	c.cfg.Logger.InfoContext(ctx, "grid admitted", "area_code", code.String(), "credit_line", terms.CreditLine.String(), "suspended", terms.Suspended)
	// The account first: if this fails, the request is merely listed once more.
	return c.changeLocked(func(s *state) error {
		s.Requests = slices.DeleteFunc(s.Requests, func(r request) bool { return r.Area == code })
		return nil
	})
}

// Reject drops a grid's request. It may ask again. Errors: ErrNoRequest.
func (c *Clearinghouse) Reject(code caps.AreaCode) error {
	return c.change(func(s *state) error {
		i := s.request(code)
		if i < 0 {
			return fmt.Errorf("area %s: %w", code, ErrNoRequest)
		}
		s.Requests = slices.Delete(s.Requests, i, i+1)
		return nil
	})
}

// Requests lists the grids that wait to be admitted, oldest first.
func (c *Clearinghouse) Requests() []RequestInfo {
	out := []RequestInfo{}
	for _, r := range c.state().Requests {
		out = append(out, RequestInfo{Area: r.Area, Manager: r.Delegate, Name: r.Name, At: time.Unix(r.At, 0).UTC()})
	}
	return out
}

// SetOpen says whether grids are admitted at once, and with what credit line.
// Grids that wait already are admitted when they ask again.
func (c *Clearinghouse) SetOpen(open bool, creditLine billing.Credits) error {
	if creditLine < 0 {
		return fmt.Errorf("%w: credit line %s", ErrArgument, creditLine)
	}
	return c.change(func(s *state) error {
		s.Open, s.Line = open, creditLine
		return nil
	})
}

// Deposit books money that a grid paid in, or took out if amount is negative. How
// it moved is not this program's business. Errors: ErrNoGrid, ErrArgument;
// ledger.ErrCredit, if what is left would not cover what is reserved.
func (c *Clearinghouse) Deposit(ctx context.Context, code caps.AreaCode, amount billing.Credits) (AccountInfo, error) {
	return c.amend(ctx, code, func(t *ledger.Terms) error {
		sum, err := t.Deposit.Add(amount)
		if err == nil && sum < 0 {
			err = fmt.Errorf("%w: the deposit is %s", ErrArgument, t.Deposit)
		}
		t.Deposit = sum
		return err
	})
}

// Suspend stops a grid's approvals, as payer and as payee, or lets them go on.
// What is approved runs out by itself. Errors: ErrNoGrid.
func (c *Clearinghouse) Suspend(ctx context.Context, code caps.AreaCode, suspended bool) (AccountInfo, error) {
	return c.amend(ctx, code, func(t *ledger.Terms) error {
		t.Suspended = suspended
		return nil
	})
}

func (c *Clearinghouse) amend(ctx context.Context, code caps.AreaCode, fn func(*ledger.Terms) error) (AccountInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.store.Account(ctx, code.Key())
	if errors.Is(err, ledger.ErrNoAccount) {
		return AccountInfo{}, fmt.Errorf("area %s: %w", code, ErrNoGrid)
	}
	if err != nil {
		return AccountInfo{}, fmt.Errorf("reading account: %w", err)
	}
	if err := fn(&a.Terms); err != nil {
		return AccountInfo{}, err
	}
	if err := c.store.Admit(ctx, code.Key(), a.Terms); err != nil {
		return AccountInfo{}, fmt.Errorf("changing account: %w", err)
	}
	return c.account(ctx, code)
}

// Revoke bars a node's key, or a grid's account, from approvals for good and
// begins a new epoch, which makes every approval of before void at payees that
// hear of it: within a minute if they are connected. It returns the epoch.
func (c *Clearinghouse) Revoke(ctx context.Context, key caps.PublicKey) (uint64, error) {
	if key.IsZero() {
		return 0, fmt.Errorf("%w: no key", ErrArgument)
	}
	epoch, err := c.store.Revoke(ctx, key, c.cfg.Now())
	if err != nil {
		return 0, fmt.Errorf("revoking: %w", err)
	}
	c.cfg.Logger.InfoContext(ctx, "key revoked", "peer_id", key.String(), "epoch", epoch)
	return epoch, nil
}

// Accounts lists the admitted grids, in the order of their keys.
func (c *Clearinghouse) Accounts(ctx context.Context) ([]AccountInfo, error) {
	all, err := c.store.Accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	out := make([]AccountInfo, 0, len(all))
	for _, a := range all {
		out = append(out, infoOf(a))
	}
	return out, nil
}

func (c *Clearinghouse) account(ctx context.Context, code caps.AreaCode) (AccountInfo, error) {
	a, err := c.store.Account(ctx, code.Key())
	if err != nil {
		return AccountInfo{}, fmt.Errorf("reading account: %w", err)
	}
	return infoOf(a), nil
}

func infoOf(a ledger.Account) AccountInfo {
	return AccountInfo{
		Area: caps.NewAreaCode(a.Key), Currency: a.Currency, Balance: a.Balance, Reserved: a.Reserved, Available: a.Available(),
		Terms: Terms{Name: a.Name, Deposit: a.Deposit, CreditLine: a.CreditLine, Suspended: a.Suspended},
	}
}

// Statement is a grid's signed statement of a period; current ignores period.
// Errors: account.ErrNoMember.
func (c *Clearinghouse) Statement(ctx context.Context, code caps.AreaCode, period uint64, current bool) (sealed.Sealed[billing.Statement], error) {
	if current {
		period = c.approver.Period()
	}
	return c.approver.StatementOf(ctx, code.Key(), period)
}

// Check recomputes the books from the signatures. Errors: ledger.ErrBroken.
func (c *Clearinghouse) Check(ctx context.Context) error { return c.store.Check(ctx) }

// Status is how a clearinghouse stands.
type Status struct {
	Key        caps.PublicKey  `json:"key"`
	Name       string          `json:"name"`
	Currency   string          `json:"currency"`
	Open       bool            `json:"open"`
	CreditLine billing.Credits `json:"credit_line"`
	Grids      int             `json:"grids"`
	Requests   int             `json:"requests"`
	Epoch      uint64          `json:"epoch"`
	Period     uint64          `json:"period"`
}

// Status tells how the clearinghouse stands.
func (c *Clearinghouse) Status(ctx context.Context) (Status, error) {
	s := c.state()
	accounts, err := c.store.Accounts(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("reading accounts: %w", err)
	}
	epoch, err := c.store.Epoch(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("reading revocation epoch: %w", err)
	}
	return Status{
		Key: s.Key, Name: s.Name, Currency: s.Currency, Open: s.Open, CreditLine: s.Line,
		Grids: len(accounts), Requests: len(s.Requests), Epoch: epoch, Period: c.approver.Period(),
	}, nil
}
