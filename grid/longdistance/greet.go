package longdistance

import (
	"context"
	"errors"
	"fmt"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/grid/account"
	"trunkline/p2p"
)

// greet makes sure that the payee knows on which channel t is paid for.
func (t *talk) greet(ctx context.Context, o Offer, r Request) error {
	t.s.SetStepTimeout(r.patience())
	t.area, t.approvers = o.Area, o.Approvers
	tariff, err := t.tariff(ctx, o)
	if err != nil {
		return err
	}
	if tariff.Value.TollFree {
		if t.free {
			return nil
		}
		if _, err := t.hello(ctx, nil, o.Area); err != nil {
			return err
		}
		t.leaveTab()
		t.free = true
		return nil
	}
	if t.payer.config.Approvals == nil {
		return fmt.Errorf("it charges %s %s per GiB, and this node has no account to pay from; use a toll-free area or join a grid: %w",
			tariff.Value.PerGiB, tariff.Value.Currency, ErrTariff)
	}
	if err := affordable(tariff.Value, r); err != nil {
		return err
	}
	for again := true; ; again = false {
		approval, err := t.payer.config.Approvals.Get(ctx, account.Need{
			Approvers: o.Approvers, Payee: o.Peer.Key, PayeeArea: o.Area, Tariff: tariff, Bytes: r.start(),
		})
		if err != nil {
			return unpaid(err)
		}
		err = t.enter(ctx, approval, tariff)
		if !again || !refused(err) || !disapproved(err) {
			return err
		}
		// The approver may have revoked what is at hand, and give a new one.
		t.payer.config.Approvals.Forget(approval.Value.Channel)
	}
}

// disapproved says whether a refusal may be about the approval.
func disapproved(err error) bool {
	return errors.Is(err, p2p.ErrExpired) || errors.Is(err, p2p.ErrDenied) || errors.Is(err, p2p.ErrConflict)
}

// tariff returns what the payee charges, asking it if nobody else said.
func (t *talk) tariff(ctx context.Context, o Offer) (sealed.Sealed[billing.Tariff], error) {
	now := t.payer.config.Now()
	if o.Tariff.Bytes != nil {
		return o.Tariff, checkTariff(o.Tariff, o.Area, o.Signer, now)
	}
	t.party.mu.Lock()
	known := t.party.tariff
	t.party.mu.Unlock()
	if known.Bytes != nil && checkTariff(known, o.Area, o.Signer, now) == nil {
		return known, nil
	}
	welcome, err := t.hello(ctx, nil, o.Area)
	if err != nil {
		return known, err
	}
	t.leaveTab()
	asked, err := sealed.Open[billing.Tariff](welcome.GetTariff())
	if err != nil {
		return asked, fmt.Errorf("%w: %w", err, ErrTariff)
	}
	if err := checkTariff(asked, o.Area, o.Signer, now); err != nil {
		return asked, err
	}
	t.free = asked.Value.TollFree
	t.party.mu.Lock()
	t.party.tariff = asked
	t.party.mu.Unlock()
	return asked, nil
}

// affordable says whether a request's bytes alone may cost more than it is
// allowed to. The rest of its segments is for the payee to add.
func affordable(t billing.Tariff, r Request) error {
	return withinLimit(t, r, r.least())
}

// withinLimit holds what bytes cost, with a look-up and what came before, against
// the request's own limit.
func withinLimit(t billing.Tariff, r Request, bytes uint64) error {
	if r.MaxCredits == 0 {
		return nil
	}
	bytes += r.before.Bytes
	t.FreeBytes = 0 // at most
	cost, err := t.Cost(bytes, 1+r.before.Lookups)
	if err != nil || cost > r.MaxCredits {
		return tooDear(t, bytes, cost, r.MaxCredits)
	}
	return nil
}

func tooDear(t billing.Tariff, bytes uint64, cost, limit billing.Credits) error {
	return fmt.Errorf("%d bytes at %s %s per GiB cost %s, over the limit of %s for one request: %w",
		bytes, t.PerGiB, t.Currency, cost, limit, p2p.ErrRefused)
}

// enter greets with an approval, or renews it, unless the payee has it.
func (t *talk) enter(ctx context.Context, a sealed.Sealed[billing.Approval], tariff sealed.Sealed[billing.Tariff]) error {
	if a.Value.Payer != t.payer.key || a.Value.Payee != t.party.key {
		return fmt.Errorf("an approval for others: %w", p2p.ErrInternal)
	}
	b, err := t.party.tab(a, tariff)
	if err != nil {
		return err
	}
	if t.tab == b {
		return t.present()
	}
	t.leaveTab()
	a = b.newest()
	welcome, err := t.hello(ctx, a.Bytes, t.area)
	if err != nil {
		return err
	}
	t.tab, t.free, t.approval = b, false, a.Hash()
	return b.adopt(welcome)
}

// leaveTab detaches t from its channel.
func (t *talk) leaveTab() {
	if t.tab != nil {
		t.tab.left(t)
		t.tab, t.pending = nil, nil
	}
}

// tab returns the channel that an approval is for, brought up to date, and
// forgets those that are over.
func (y *party) tab(a sealed.Sealed[billing.Approval], tariff sealed.Sealed[billing.Tariff]) (*tab, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	now := y.payer.config.Now()
	for id, b := range y.tabs {
		if b.newest().Value.CheckTime(now) != nil && id != a.Value.Channel {
			delete(y.tabs, id)
		}
	}
	if b, ok := y.tabs[a.Value.Channel]; ok {
		return b, b.renew(a)
	}
	b, err := newTab(y.payer.config.Key, y.payer.key, a, tariff, y.payer.config.MaxAhead)
	if err != nil {
		return nil, err
	}
	y.tabs[a.Value.Channel] = b
	return b, nil
}

// unpaid gives an approver's refusal or absence a kind.
func unpaid(err error) error {
	if errors.Is(err, account.ErrAway) {
		return fmt.Errorf("no approval: %w: %w", err, p2p.ErrUnavailable)
	}
	return fmt.Errorf("no approval: %w", err)
}
