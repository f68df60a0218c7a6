package clearinghouse

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"trunkline/billing/ledger"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

const (
	maxRequests = 1024
	requestLife = 30 * 24 * time.Hour
)

// members are the admitted grids, as the approver sees them: an account's key is
// the key behind the area code.
type members struct{ c *Clearinghouse }

var (
	_ account.Members = members{}
	_ account.Joiner  = members{}
)

// Payer knows a grid's gateways by their credentials.
func (g members) Payer(ctx context.Context, key caps.PublicKey, credential []byte, now time.Time) (caps.PublicKey, error) {
	var none caps.PublicKey
	cred, err := roster.ParseCredential(credential)
	if err != nil {
		return none, err
	}
	code, err := cred.ClaimedArea()
	if err != nil {
		return none, err
	}
	// Whether the area is admitted is cheap to know, so it is asked first.
	if err := g.c.admitted(ctx, code); err != nil {
		return none, err
	}
	m, err := cred.Verify(code, key, now)
	if err != nil {
		return none, err
	}
	if has := m.Certificate.Roles; !has.Has(roster.Gateway) {
		return none, &roster.RoleError{Key: key, Has: has, Need: roster.Gateway}
	}
	// What the grid has published since may have made the credential void.
	if info, err := g.c.areas.Get(code); err == nil {
		switch {
		case m.Delegation.Sequence < info.DelegationSeq:
			return none, fmt.Errorf("delegation %d, but %d is published: %w", m.Delegation.Sequence, info.DelegationSeq, roster.ErrRollback)
		case m.Certificate.Epoch < info.Sheet.Epoch && info.Delegate == m.Delegation.Delegate:
			return none, fmt.Errorf("certificate of epoch %d, but %d is published: %w", m.Certificate.Epoch, info.Sheet.Epoch, roster.ErrEpoch)
		}
	}
	return code.Key(), nil
}

// Payee knows a grid's contact points and tariff by its area record.
func (g members) Payee(ctx context.Context, key caps.PublicKey, code caps.AreaCode, _ time.Time) (account.Payee, error) {
	if err := g.c.admitted(ctx, code); err != nil {
		if errors.Is(err, account.ErrNoMember) {
			err = fmt.Errorf("area %s is not admitted here: %w", code, account.ErrPayee)
		}
		return account.Payee{}, err
	}
	info, err := g.c.lookup(ctx, code)
	if err != nil {
		return account.Payee{}, fmt.Errorf("area record of %s: %w", code, err)
	}
	if !slices.ContainsFunc(info.Sheet.Contacts, func(p p2p.Peer) bool { return p.Key == key }) {
		return account.Payee{}, fmt.Errorf("%s is no contact point of area %s: %w", key, code, account.ErrPayee)
	}
	return account.Payee{Account: code.Key(), TariffSigner: info.Delegate, Tariff: sha256.Sum256(info.Sheet.Tariff)}, nil
}

// Reader lets a grid's delegate read the grid's statements; the delegation is the
// proof.
func (g members) Reader(_ context.Context, key, of caps.PublicKey, credential []byte, now time.Time) error {
	cred, err := roster.ParseCredential(credential)
	if err != nil {
		return err
	}
	code := caps.NewAreaCode(of)
	d, err := roster.OpenDelegation(code, cred.Delegation, now)
	if err != nil || d.Delegate != key {
		return fmt.Errorf("account %s: %w", of, account.ErrNotYours)
	}
	if info, err := g.c.areas.Get(code); err == nil && d.Sequence < info.DelegationSeq {
		return fmt.Errorf("delegation %d, but %d is published: %w", d.Sequence, info.DelegationSeq, roster.ErrRollback)
	}
	return nil
}

// Join admits a grid if everybody is let in, else puts it on the operator's list.
func (g members) Join(ctx context.Context, caller caps.PublicKey, req account.JoinRequest, now time.Time) (account.JoinState, error) {
	record := area.Record{Delegation: req.Delegation, Sheet: req.Sheet}
	info, err := record.Open(req.Area, now)
	if err != nil {
		return account.JoinState{}, fmt.Errorf("%w: %w", account.ErrMalformed, err)
	}
	if info.Delegate != caller {
		return account.JoinState{}, fmt.Errorf("only the manager of area %s can ask for it: %w", req.Area, account.ErrNotYours)
	}
	if _, err := (area.Sheet{Name: req.Name}).Marshal(); err != nil {
		return account.JoinState{}, fmt.Errorf("%w: name: %w", account.ErrMalformed, err)
	}
	if err := g.c.ask(ctx, req, caller, now); err != nil {
		return account.JoinState{}, err
	}
	acct, err := g.c.store.Account(ctx, req.Area.Key())
	if errors.Is(err, ledger.ErrNoAccount) {
		return account.JoinState{}, nil
	}
	if err != nil {
		return account.JoinState{}, fmt.Errorf("reading account: %w", err)
	}
	if _, _, err := g.c.areas.Put(req.Area, record); err != nil {
		return account.JoinState{}, fmt.Errorf("keeping area record: %w", err)
	}
	return account.JoinState{
		Admitted: true, Suspended: acct.Suspended, CreditLine: acct.CreditLine, Deposit: acct.Deposit, Currency: acct.Currency,
	}, nil
}

// ask takes a request of a grid that proved itself. New grids are few an hour,
// because a key costs nothing.
func (c *Clearinghouse) ask(ctx context.Context, req account.JoinRequest, delegate caps.PublicKey, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.store.Account(ctx, req.Area.Key())
	if err == nil || !errors.Is(err, ledger.ErrNoAccount) {
		return err
	}
	waiting := c.st.request(req.Area)
	if !c.st.Open && waiting >= 0 {
		return nil
	}
	if waiting < 0 {
		if now.Sub(c.hour) >= time.Hour || now.Before(c.hour) {
			c.hour, c.asked = now, 0
		}
		if c.asked++; c.asked > c.cfg.RequestsPerHour || len(c.st.Requests) >= maxRequests {
			return fmt.Errorf("many grids are asking: %w", account.ErrBusy)
		}
	}
	if c.st.Open {
		return c.admit(ctx, req.Area, Terms{Name: req.Name, CreditLine: c.st.Line})
	}
	c.cfg.Logger.InfoContext(ctx, "grid asks to be admitted", "area_code", req.Area.String())
	return c.changeLocked(func(s *state) error {
		s.Requests = append(s.Requests, request{Area: req.Area, Delegate: delegate, Name: req.Name, At: now.Unix()})
		return nil
	})
}

// admitted refuses grids without an account, and suspended ones.
func (c *Clearinghouse) admitted(ctx context.Context, code caps.AreaCode) error {
	a, err := c.store.Account(ctx, code.Key())
	switch {
	case errors.Is(err, ledger.ErrNoAccount):
		return fmt.Errorf("area %s: %w", code, account.ErrNoMember)
	case err != nil:
		return fmt.Errorf("reading account: %w", err)
	case a.Suspended:
		return fmt.Errorf("area %s: %w", code, account.ErrSuspended)
	}
	return nil
}

// lookup finds an admitted grid's area record.
func (c *Clearinghouse) lookup(ctx context.Context, code caps.AreaCode) (area.Info, error) {
	info, err := c.areas.Get(code)
	if err == nil {
		return info, nil
	}
	c.mu.Lock()
	resolver := c.resolver
	c.mu.Unlock()
	if resolver == nil {
		return area.Info{}, err
	}
	return resolver.Resolve(ctx, code)
}

// accept lets admitted grids publish in the directory, by their manager or a
// contact point.
func (c *Clearinghouse) accept(publisher caps.PublicKey, info area.Info) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.admitted(ctx, info.Area); err != nil && !errors.Is(err, account.ErrSuspended) {
		return err
	}
	if publisher != info.Delegate && !slices.ContainsFunc(info.Sheet.Contacts, func(p p2p.Peer) bool { return p.Key == publisher }) {
		return fmt.Errorf("only a grid's manager and contact points publish its record here: %w", account.ErrNotYours)
	}
	return nil
}
