package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p"
)

// ApproverConfig says whose books an [Approver] keeps.
type ApproverConfig struct {
	// Store has the accounts. The approver does not close it.
	Store ledger.Store
	// Key signs approvals, receipts and statements; its public half is the
	// approver's name.
	Key crypto.PrivKey
	// Members says what account a key speaks for. If it is a [Joiner] as well,
	// requests for accounts are passed on to it.
	Members Members
	Policy  Policy
	Now     func() time.Time // default time.Now
	Logger  *slog.Logger     // default discards
}

// An Approver reserves caps, books vouchers and answers for its books. Its
// methods take the key that a connection proved. Safe for concurrent use; what
// must not race is the store's to serialise.
type Approver struct {
	cfg  ApproverConfig
	self caps.PublicKey
}

// NewApprover checks the configuration. Error: a key that is not Ed25519.
func NewApprover(cfg ApproverConfig) (*Approver, error) {
	self, err := p2p.KeyOf(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("approver's key: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Policy = cfg.Policy.withDefaults()
	return &Approver{cfg: cfg, self: self}, nil
}

// Key is the approver's name.
func (a *Approver) Key() caps.PublicKey { return a.self }

// Period is the number of the present period.
func (a *Approver) Period() uint64 { return a.cfg.Policy.PeriodAt(a.cfg.Now()) }

// maxAttempts bounds how often a request is tried again because the books moved
// between reading and reserving.
const maxAttempts = 16

// Approve reserves a cap for payer and signs it. On a channel that is approved
// already it raises cap and end; nothing is ever lowered. When the credit does
// not cover what is wanted, less is granted, down to the policy's least.
//
// Errors: those of Members; ErrTariff, ErrTollFree, ErrCredit, ErrNotYours,
// ErrSuspended, ErrRevoked.
func (a *Approver) Approve(ctx context.Context, payer caps.PublicKey, ask Ask) (sealed.Sealed[billing.Approval], error) {
	var none sealed.Sealed[billing.Approval]
	now := a.cfg.Now()
	from, err := a.cfg.Members.Payer(ctx, payer, ask.Credential, now)
	if err != nil {
		return none, err
	}
	to, err := a.cfg.Members.Payee(ctx, ask.Payee, ask.PayeeArea, now)
	if err != nil {
		return none, err
	}
	if from == to.Account || payer == ask.Payee {
		return none, fmt.Errorf("payer and payee share an account: %w", ErrPayee)
	}
	tariff, err := openTariff(ask, to, now)
	if err != nil {
		return none, err
	}
	period, err := a.period(ctx, payer, ask, billing.HashTariff(tariff), now)
	if err != nil {
		return none, err
	}
	approval := billing.Approval{
		Channel:      billing.NewChannelID(a.self, payer, ask.Payee, billing.HashTariff(tariff), period),
		Approver:     a.self,
		Payer:        payer,
		Payee:        ask.Payee,
		PayerAccount: from,
		PayeeAccount: to.Account,
		Tariff:       billing.HashTariff(tariff),
		Period:       period,
	}
	for attempt := 0; ; attempt++ {
		s, err := a.grant(ctx, approval, tariff, ask, now)
		// A revocation, or another request for this channel, came in between.
		if moved := errors.Is(err, ledger.ErrEpoch) || errors.Is(err, billing.ErrLowered); !moved || attempt == maxAttempts {
			return s, storeError(err)
		}
	}
}

// openTariff checks that the tariff asked for is the one the payee's area publishes.
func openTariff(ask Ask, to Payee, now time.Time) (sealed.Sealed[billing.Tariff], error) {
	t, err := sealed.Open[billing.Tariff](ask.Tariff)
	if err != nil {
		return t, fmt.Errorf("%w: tariff: %w", ErrMalformed, err)
	}
	switch {
	case t.Signer != to.TariffSigner:
		return t, fmt.Errorf("signed by %s: %w", t.Signer, ErrTariff)
	case t.Value.Area != ask.PayeeArea:
		return t, fmt.Errorf("of area %s: %w", t.Value.Area, ErrTariff)
	case billing.HashTariff(t) != to.Tariff:
		return t, fmt.Errorf("tariff %d: %w", t.Value.Sequence, ErrTariff)
	case t.Value.TollFree:
		return t, ErrTollFree
	}
	if err := t.Value.Validate(now); err != nil {
		return t, &refusal{sentinel: ErrTariff, err: err}
	}
	return t, nil
}

// period is the present one, or the last one while a channel of it is being
// carried on: so a read that runs past midnight keeps its channel, and no channel
// is renewed in more than two periods.
func (a *Approver) period(ctx context.Context, payer caps.PublicKey, ask Ask, tariff billing.TariffHash, now time.Time) (uint64, error) {
	period := a.cfg.Policy.PeriodAt(now)
	if ask.Renew == (billing.ChannelID{}) {
		return period, nil
	}
	ch, err := a.cfg.Store.Channel(ctx, ask.Renew)
	if errors.Is(err, ledger.ErrNoChannel) {
		return period, nil // as good as new
	}
	if err != nil {
		return 0, fmt.Errorf("reading channel: %w", err)
	}
	had := ch.Approval
	if had.Payer != payer || had.Payee != ask.Payee {
		return 0, fmt.Errorf("channel %s: %w", ask.Renew, ErrNotYours)
	}
	if had.Tariff == tariff && had.Period+1 == period && !ch.Released {
		return had.Period, nil
	}
	return period, nil
}

// grant reserves and signs the largest cap up to the wanted one that the credit
// covers.
func (a *Approver) grant(ctx context.Context, approval billing.Approval, tariff sealed.Sealed[billing.Tariff], ask Ask, now time.Time) (sealed.Sealed[billing.Approval], error) {
	var none sealed.Sealed[billing.Approval]
	epoch, err := a.cfg.Store.Epoch(ctx)
	if err != nil {
		return none, fmt.Errorf("reading revocation epoch: %w", err)
	}
	approval.Epoch = epoch
	var had billing.Approval
	var used, lookups uint64
	ch, err := a.cfg.Store.Channel(ctx, approval.Channel)
	switch {
	case err == nil:
		had = ch.Approval
		// What the payer says it has used never counts for more than was approved.
		used = min(ask.UsedBytes, had.LimitBytes())
		if ch.Last != nil {
			used, lookups = max(used, ch.Last.Bytes), ch.Last.Lookups
		}
	case !errors.Is(err, ledger.ErrNoChannel):
		return none, fmt.Errorf("reading channel: %w", err)
	}
	want := ask.WantBytes
	if want == 0 {
		want = a.cfg.Policy.CapBytes
	}
	want = min(want, a.cfg.Policy.MaxBytes)
	for least := min(want, a.cfg.Policy.MinBytes); ; want = max(want/2, least) {
		sized, err := a.cfg.Policy.size(approval, had, tariff.Value, used, lookups, want, now)
		if err != nil {
			return none, err
		}
		s, err := sealed.Seal(a.cfg.Key, sized)
		if err != nil {
			return none, fmt.Errorf("signing approval: %w", err)
		}
		err = a.cfg.Store.Reserve(ctx, ledger.Reservation{Approval: s, Tariff: tariff})
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, ledger.ErrCredit) || want <= least {
			return none, err
		}
	}
}

// storeError gives the ledger's refusals their kinds on the wire; other errors
// stay what they are.
func storeError(err error) error {
	for _, m := range []struct{ from, to error }{
		{ledger.ErrCredit, ErrCredit},
		{ledger.ErrSuspended, ErrSuspended},
		{ledger.ErrNoAccount, ErrNoMember},
		{ledger.ErrRevoked, ErrRevoked},
		{ledger.ErrCurrency, ErrTariff},
		{ledger.ErrNoChannel, ErrNoChannel},
		{ledger.ErrPayer, ErrVoucher},
		{billing.ErrOverCap, ErrVoucher},
		{billing.ErrWrongCost, ErrVoucher},
		{billing.ErrLowered, ErrBusy},
		{ledger.ErrEpoch, ErrBusy},
	} {
		if errors.Is(err, m.from) {
			return &refusal{sentinel: m.to, err: err}
		}
	}
	return err
}

// Post books the voucher in an envelope and signs a receipt for what the channel
// then stands at. The caller is the channel's payee or payer. Posting again, or an
// older voucher, changes nothing and gets the same figures.
//
// Errors: ErrNoChannel, ErrNotYours, ErrVoucher.
func (a *Approver) Post(ctx context.Context, caller caps.PublicKey, envelope []byte) (sealed.Sealed[billing.Receipt], error) {
	var none sealed.Sealed[billing.Receipt]
	v, err := sealed.Open[billing.Voucher](envelope)
	if err != nil {
		return none, fmt.Errorf("%w: voucher: %w", ErrMalformed, err)
	}
	ch, err := a.cfg.Store.Channel(ctx, v.Value.Channel)
	if err != nil {
		return none, storeError(err)
	}
	if caller != ch.Approval.Payee && caller != ch.Approval.Payer {
		return none, fmt.Errorf("channel %s: %w", v.Value.Channel, ErrNotYours)
	}
	p, err := a.cfg.Store.Post(ctx, v, a.cfg.Now())
	if err != nil {
		return none, storeError(err)
	}
	r, err := sealed.Seal(a.cfg.Key, p.Receipt())
	if err != nil {
		return none, fmt.Errorf("signing receipt: %w", err)
	}
	return r, nil
}

// Statement signs what one account earned and owes in a period, line by line.
// Errors: ErrNotYours, ErrNoMember.
func (a *Approver) Statement(ctx context.Context, caller caps.PublicKey, ask StatementAsk) (sealed.Sealed[billing.Statement], error) {
	if caller != ask.Account {
		if err := a.cfg.Members.Reader(ctx, caller, ask.Account, ask.Credential, a.cfg.Now()); err != nil {
			return sealed.Sealed[billing.Statement]{}, err
		}
	}
	if ask.Current {
		ask.Period = a.Period()
	}
	return a.StatementOf(ctx, ask.Account, ask.Period)
}

// StatementOf is Statement for whoever runs the approver. Errors: ErrNoMember.
func (a *Approver) StatementOf(ctx context.Context, account caps.PublicKey, period uint64) (sealed.Sealed[billing.Statement], error) {
	var none sealed.Sealed[billing.Statement]
	st, err := ledger.Statement(ctx, a.cfg.Store, account, period, a.cfg.Now())
	if err != nil {
		return none, storeError(err)
	}
	s, err := sealed.Seal(a.cfg.Key, st)
	if err != nil {
		return none, fmt.Errorf("signing statement: %w", err)
	}
	return s, nil
}

// Join passes a request for an account to Members. Errors: ErrNoJoin; those of [Joiner].
func (a *Approver) Join(ctx context.Context, caller caps.PublicKey, req JoinRequest) (JoinState, error) {
	j, ok := a.cfg.Members.(Joiner)
	if !ok {
		return JoinState{}, ErrNoJoin
	}
	return j.Join(ctx, caller, req, a.cfg.Now())
}

// Status is what everybody may know.
func (a *Approver) Status(ctx context.Context) (Status, error) {
	epoch, err := a.cfg.Store.Epoch(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("reading revocation epoch: %w", err)
	}
	return Status{Epoch: epoch, Period: a.Period(), Now: a.cfg.Now().Unix()}, nil
}

// Tend gives back what ended approvals still reserve. Whoever runs the approver
// calls it now and then.
func (a *Approver) Tend(ctx context.Context) error {
	if _, err := a.cfg.Store.Expire(ctx, a.cfg.Now()); err != nil {
		return fmt.Errorf("releasing ended caps: %w", err)
	}
	return nil
}
