package manager

import (
	"context"
	"fmt"
	"time"

	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/roster"
)

// members is the grid as its approver sees it: every member has an account under
// its own key, clients pay and gateways are paid. It goes by the manager's own
// list, so that a revocation holds for the next request.
type members struct{ m *Manager }

// Payer knows clients by their keys, which their connections have proved.
func (g members) Payer(_ context.Context, key caps.PublicKey, _ []byte, _ time.Time) (caps.PublicKey, error) {
	if err := g.m.state().allow(key, roster.Client); err != nil {
		return caps.PublicKey{}, err
	}
	return key, nil
}

// Payee knows the grid's gateways.
func (g members) Payee(_ context.Context, key caps.PublicKey, code caps.AreaCode, _ time.Time) (account.Payee, error) {
	s := g.m.state()
	if code != s.Area {
		return account.Payee{}, fmt.Errorf("area %s: %w", code, account.ErrPayee)
	}
	if err := s.allow(key, roster.Gateway); err != nil {
		// Not the payer's fault: it is told that the payee is no good.
		return account.Payee{}, fmt.Errorf("%s is no gateway of this grid: %w", key, account.ErrPayee)
	}
	hash, signer, err := s.sellsHere()
	if err != nil {
		return account.Payee{}, err
	}
	return account.Payee{Account: key, TariffSigner: signer, Tariff: hash}, nil
}

// Reader lets nobody but the manager read others' statements.
func (g members) Reader(_ context.Context, key, of caps.PublicKey, _ []byte, _ time.Time) error {
	if key != g.m.Key() {
		return fmt.Errorf("account %s: %w", of, account.ErrNotYours)
	}
	return nil
}

// allow is [roster.Holder.Allow] on the manager's own list.
func (s *state) allow(key caps.PublicKey, anyOf roster.Role) error {
	i := s.member(key)
	if i < 0 {
		return fmt.Errorf("%s: %w", key, roster.ErrNotMember)
	}
	if has := s.Members[i].Roles; !has.Any(anyOf) {
		return &roster.RoleError{Key: key, Has: has, Need: anyOf}
	}
	return nil
}

// Allow says whether a key may act in one of the roles, as a member's
// [roster.Holder] does, for services that run beside the manager.
func (m *Manager) Allow(key caps.PublicKey, anyOf roster.Role) error {
	return m.state().allow(key, anyOf)
}
