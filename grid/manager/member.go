package manager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/roster"
)

// MemberInfo is a member as people see it.
type MemberInfo struct {
	Key   caps.PublicKey `json:"key"`
	Name  string         `json:"name"`
	Roles string         `json:"roles"`
	Addrs []string       `json:"addrs,omitempty"`
	Since time.Time      `json:"since"`
}

func (m member) info() MemberInfo {
	return MemberInfo{Key: m.Key, Name: m.Name, Roles: m.Roles.String(), Addrs: slices.Clone(m.Addrs), Since: time.Unix(m.Since, 0).UTC()}
}

// Approve makes a key a member in exactly these roles, or changes the roles and,
// unless it is empty, the name of a member. It opens the member's account.
//
// Errors: ErrRevoked, ErrFull, ErrArgument.
func (m *Manager) Approve(ctx context.Context, key caps.PublicKey, roles roster.Role, name string) (MemberInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.approve(ctx, key, roles, name, nil, func(*state) {})
}

// approve is Approve; also is applied in the same change. The caller holds mu.
func (m *Manager) approve(ctx context.Context, key caps.PublicKey, roles roster.Role, name string, addrs []string, also func(*state)) (MemberInfo, error) {
	s := m.state()
	switch {
	case key.IsZero() || key == s.Area.Key():
		return MemberInfo{}, fmt.Errorf("%w: this key cannot be a member", ErrArgument)
	case !roles.Valid():
		return MemberInfo{}, fmt.Errorf("%w: roles %s", ErrArgument, roles)
	case s.revoked(key):
		return MemberInfo{}, fmt.Errorf("%s: %w", key, ErrRevoked)
	case s.member(key) < 0 && len(s.Members) >= roster.MaxMembers:
		return MemberInfo{}, fmt.Errorf("%w: %d members", ErrFull, roster.MaxMembers)
	}
	if err := roster.CheckName(name); err != nil {
		return MemberInfo{}, fmt.Errorf("%w: %w", ErrArgument, err)
	}
	// The account first: a member without one would be refused where it should be
	// served, an account without a member serves nobody.
	if err := m.ensureAccount(ctx, s, key, name); err != nil {
		return MemberInfo{}, err
	}
	var out member
	err := m.changeLocked(ctx, func(s *state) error {
		i := s.member(key)
		if i < 0 {
			seed := roster.SeedOf(key)
			s.Members = append(s.Members, member{Key: key, Seed: seed[:], Since: m.cfg.Now().Unix()})
			i = len(s.Members) - 1
		}
		e := s.Members[i]
		e.Roles = roles
		if name != "" {
			e.Name = name
		}
		if addrs != nil {
			e.Addrs = addrs
		}
		s.Members[i] = e
		out = e
		also(s)
		return nil
	})
	if err != nil {
		return MemberInfo{}, err
	}
	m.cfg.Logger.InfoContext(ctx, "member approved", "peer_id", key.String(), "roles", roles.String())
	return out.info(), nil
}

// SetSeed gives a member another seed than its key's: a server that goes on with
// the shares of a Tahoe node keeps that node's id, from which clients derive what
// lets them change and keep their shares. Shares that were stored under the old
// seed can still be read, mutable ones not be changed.
//
// Errors: ErrNoMember; ErrArgument for no seed, or another member's.
func (m *Manager) SetSeed(ctx context.Context, key caps.PublicKey, seed [20]byte) (MemberInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state()
	if s.member(key) < 0 {
		return MemberInfo{}, fmt.Errorf("%s: %w", key, ErrNoMember)
	}
	if seed == ([20]byte{}) || slices.ContainsFunc(s.Members, func(o member) bool { return o.Key != key && bytes.Equal(o.Seed, seed[:]) }) {
		return MemberInfo{}, fmt.Errorf("%w: this is no id, or another member's", ErrArgument)
	}
	var out member
	err := m.changeLocked(ctx, func(s *state) error {
		i := s.member(key)
		s.Members[i].Seed = seed[:]
		out = s.Members[i]
		return nil
	})
	if err != nil {
		return MemberInfo{}, err
	}
	m.cfg.Logger.InfoContext(ctx, "member keeps another id", "peer_id", key.String())
	return out.info(), nil
}

// Revoke takes a member off the roster for good: its key never comes back. Members
// that are connected know within a minute; those that are cut off, when their
// roster or the member's approval ends. It returns the new epoch.
//
// Errors: ErrNoMember.
func (m *Manager) Revoke(ctx context.Context, key caps.PublicKey) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state()
	i := s.member(key)
	if i < 0 {
		if !s.revoked(key) {
			return 0, fmt.Errorf("%s: %w", key, ErrNoMember)
		}
	} else if err := m.changeLocked(ctx, func(s *state) error {
		s.Revoked = append(s.Revoked, revoked{Key: key, Name: s.Members[i].Name, At: m.cfg.Now().Unix()})
		s.Members = slices.Delete(s.Members, i, i+1)
		s.Epoch++
		return nil
	}); err != nil {
		return 0, err
	}
	// Off the roster first. If the ledger fails now, revoking again finishes it, and
	// so does opening the manager.
	if _, err := m.store.Revoke(ctx, key, m.cfg.Now()); err != nil {
		return 0, fmt.Errorf("revoking in the ledger: %w", err)
	}
	m.cfg.Logger.InfoContext(ctx, "member revoked", "peer_id", key.String(), "epoch", m.state().Epoch)
	return m.state().Epoch, nil
}

// Members lists the members in the order they came.
func (m *Manager) Members() []MemberInfo {
	s := m.state()
	out := make([]MemberInfo, 0, len(s.Members))
	for _, e := range s.Members {
		out = append(out, e.info())
	}
	return out
}

// AccountInfo is a member's account as people see it.
type AccountInfo struct {
	Key        caps.PublicKey  `json:"key"`
	Name       string          `json:"name"`
	Currency   string          `json:"currency"`
	Deposit    billing.Credits `json:"deposit"`
	CreditLine billing.Credits `json:"credit_line"`
	Balance    billing.Credits `json:"balance"`
	Reserved   billing.Credits `json:"reserved"`
	Available  billing.Credits `json:"available"`
	Suspended  bool            `json:"suspended"`
}

// Accounts lists the members' accounts, those of former members included.
func (m *Manager) Accounts(ctx context.Context) ([]AccountInfo, error) {
	all, err := m.store.Accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	out := make([]AccountInfo, 0, len(all))
	for _, a := range all {
		out = append(out, AccountInfo{
			Key: a.Key, Name: a.Name, Currency: a.Currency, Deposit: a.Deposit, CreditLine: a.CreditLine,
			Balance: a.Balance, Reserved: a.Reserved, Available: a.Available(), Suspended: a.Suspended,
		})
	}
	return out, nil
}

// SetCredit sets what a member may owe and has deposited.
// Errors: ErrNoMember; ledger.ErrCredit, if it would not cover what is reserved.
func (m *Manager) SetCredit(ctx context.Context, key caps.PublicKey, creditLine, deposit billing.Credits) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.store.Account(ctx, key)
	if errors.Is(err, ledger.ErrNoAccount) {
		return fmt.Errorf("%s: %w", key, ErrNoMember)
	}
	if err != nil {
		return fmt.Errorf("reading account: %w", err)
	}
	terms := a.Terms
	terms.CreditLine, terms.Deposit = creditLine, deposit
	if err := m.store.Admit(ctx, key, terms); err != nil {
		return fmt.Errorf("changing account: %w", err)
	}
	return nil
}

// Statement is a member's signed statement of a period; current ignores period.
func (m *Manager) Statement(ctx context.Context, key caps.PublicKey, period uint64, current bool) (sealed.Sealed[billing.Statement], error) {
	if current {
		period = m.approver.Period()
	}
	return m.approver.StatementOf(ctx, key, period)
}

func (m *Manager) ensureAccount(ctx context.Context, s *state, key caps.PublicKey, name string) error {
	_, err := m.store.Account(ctx, key)
	if errors.Is(err, ledger.ErrNoAccount) {
		err = m.store.Admit(ctx, key, ledger.Terms{Name: name, Currency: s.Currency, CreditLine: s.CreditLine})
	}
	if err != nil {
		return fmt.Errorf("opening account: %w", err)
	}
	return nil
}

// settleAccounts finishes what a crash cut off between the ledger and the state.
func (m *Manager) settleAccounts(ctx context.Context, s *state) error {
	for _, e := range s.Members {
		if err := m.ensureAccount(ctx, s, e.Key, e.Name); err != nil {
			return err
		}
	}
	for _, r := range s.Revoked {
		if _, err := m.store.Revoke(ctx, r.Key, m.cfg.Now()); err != nil {
			return fmt.Errorf("revoking in the ledger: %w", err)
		}
	}
	return nil
}
