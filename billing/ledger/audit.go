package ledger

import (
	"bytes"
	"fmt"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// Audit recomputes books from the signatures in them, for an engine's Check or
// for anyone who has an export. Feed it all accounts, all channels, then all
// entries from number 1 on, as of one moment, and call Finish. The first error
// of any step is ErrBroken; the audit is over with it.
//
// It needs memory for each account and channel. Not safe for concurrent use.
type Audit struct {
	accounts map[caps.PublicKey]*audited
	channels map[billing.ChannelID]*auditedChannel
	last     uint64
	head     [32]byte
}

type audited struct {
	claimed           Account
	balance, reserved billing.Credits
}

type auditedChannel struct {
	claimed  Channel
	approval billing.Approval
	tariff   billing.Tariff
	last     billing.Voucher
	bytes    []byte // of last
	entry    uint64
}

// NewAudit begins an audit.
func NewAudit() *Audit {
	return &Audit{accounts: make(map[caps.PublicKey]*audited), channels: make(map[billing.ChannelID]*auditedChannel)}
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBroken, fmt.Errorf(format, args...))
}

// Account takes an account in.
func (u *Audit) Account(a Account) error {
	if err := a.Check(); err != nil {
		return broken("account %v: %w", a.Key, err)
	}
	u.accounts[a.Key] = &audited{claimed: a}
	return nil
}

// Channel takes a channel in. Its Approval field is not looked at: the envelope
// says what it is. It is returned, and the tariff it names.
func (u *Audit) Channel(id billing.ChannelID, c Channel) (billing.Approval, billing.Tariff, error) {
	a, err := sealed.Open[billing.Approval](c.ApprovalBytes)
	if err != nil {
		return billing.Approval{}, billing.Tariff{}, broken("channel %v: approval: %w", id, err)
	}
	t, err := sealed.Open[billing.Tariff](c.TariffBytes)
	if err != nil {
		return billing.Approval{}, billing.Tariff{}, broken("channel %v: tariff: %w", id, err)
	}
	if a.Value.Channel != id {
		return billing.Approval{}, billing.Tariff{}, broken("channel %v has the approval of %v", id, a.Value.Channel)
	}
	if err := a.Value.CheckTariff(t); err != nil {
		return billing.Approval{}, billing.Tariff{}, broken("channel %v: %w", id, err)
	}
	for _, key := range []caps.PublicKey{a.Value.PayerAccount, a.Value.PayeeAccount} {
		party, ok := u.accounts[key]
		if !ok {
			return billing.Approval{}, billing.Tariff{}, broken("channel %v is on the missing account %v", id, key)
		}
		if party.claimed.Currency != t.Value.Currency {
			return billing.Approval{}, billing.Tariff{}, broken("channel %v is in %s, account %v in %s", id, t.Value.Currency, key, party.claimed.Currency)
		}
	}
	u.channels[id] = &auditedChannel{claimed: c, approval: a.Value, tariff: t.Value, last: billing.Voucher{Channel: id}}
	return a.Value, t.Value, nil
}

// Entry takes the next entry in.
func (u *Audit) Entry(e Entry) error {
	if e.Number != u.last+1 {
		return broken("entry %d follows %d", e.Number, u.last)
	}
	if head := e.Chain(u.head); head != e.Head {
		return broken("entry %d: head does not follow", e.Number)
	}
	c, ok := u.channels[e.Channel]
	if !ok {
		return broken("entry %d is on the missing channel %v", e.Number, e.Channel)
	}
	v, err := sealed.OpenFrom[billing.Voucher](c.approval.Payer, e.Voucher)
	if err != nil {
		return broken("entry %d: %w", e.Number, err)
	}
	if err := c.approval.CheckVoucher(c.tariff, v.Value); err != nil {
		return broken("entry %d: %w", e.Number, err)
	}
	if c.entry > 0 && !Above(v.Value, c.last) {
		return broken("entry %d does not raise its channel", e.Number)
	}
	if e.Payer != c.approval.PayerAccount || e.Payee != c.approval.PayeeAccount || e.Amount != v.Value.Credits-c.last.Credits {
		return broken("entry %d does not book its voucher", e.Number)
	}
	if err := u.move(e); err != nil {
		return err
	}
	c.last, c.bytes, c.entry = v.Value, e.Voucher, e.Number
	u.last, u.head = e.Number, e.Head
	return nil
}

// move repeats what an entry does to balances.
func (u *Audit) move(e Entry) error {
	payer, payee := u.accounts[e.Payer], u.accounts[e.Payee]
	var err error
	if payer.balance, err = payer.balance.Sub(e.Amount); err != nil {
		return broken("entry %d: %w", e.Number, err)
	}
	if payee.balance, err = payee.balance.Add(e.Amount); err != nil {
		return broken("entry %d: %w", e.Number, err)
	}
	return nil
}

// Finish compares what the books say with what was recomputed.
func (u *Audit) Finish() error {
	for id, c := range u.channels {
		if err := u.finishChannel(id, c); err != nil {
			return err
		}
	}
	var sum billing.Credits
	for key, a := range u.accounts {
		if a.balance != a.claimed.Balance {
			return broken("account %v: balance %v, entries come to %v", key, a.claimed.Balance, a.balance)
		}
		if a.reserved != a.claimed.Reserved {
			return broken("account %v: reserved %v, channels come to %v", key, a.claimed.Reserved, a.reserved)
		}
		if a.claimed.Available() < 0 {
			return broken("account %v: reserved beyond cover by %v", key, -a.claimed.Available())
		}
		// Wraps around and back, if at all: the order of accounts is random.
		sum += a.balance
	}
	if sum != 0 {
		return broken("balances come to %v instead of 0", sum)
	}
	return nil
}

func (u *Audit) finishChannel(id billing.ChannelID, c *auditedChannel) error {
	reserved := c.approval.LimitCredits() - c.last.Credits
	if c.claimed.Released {
		reserved = 0
	}
	if c.claimed.Reserved != reserved {
		return broken("channel %v: reserved %v, should be %v", id, c.claimed.Reserved, reserved)
	}
	if c.claimed.Entry != c.entry || (c.claimed.Last != nil) != (c.entry > 0) || !bytes.Equal(c.claimed.LastBytes, c.bytes) {
		return broken("channel %v: last entry is %d, says %d", id, c.entry, c.claimed.Entry)
	}
	if c.claimed.Last != nil && *c.claimed.Last != c.last {
		return broken("channel %v: totals differ from the last voucher", id)
	}
	payer := u.accounts[c.approval.PayerAccount]
	var err error
	if payer.reserved, err = payer.reserved.Add(reserved); err != nil {
		return broken("channel %v: %w", id, err)
	}
	return nil
}
