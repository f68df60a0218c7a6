package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p"
)

// A PendingVoucher is the last voucher of a channel that has no receipt for it.
type PendingVoucher struct {
	Approver caps.PublicKey
	Voucher  sealed.Sealed[billing.Voucher]
}

// A VoucherLog is where a payee keeps what payers signed, on disk before it is
// acted on. Safe for concurrent use.
type VoucherLog interface {
	// Pending lists, for every channel, the last voucher unless a receipt covers it.
	Pending() []PendingVoucher
	// MarkPosted keeps the receipt. A voucher that is higher than the receipt stays
	// pending. When it returns nil, the receipt is on disk.
	MarkPosted(channel billing.ChannelID, receipt sealed.Sealed[billing.Receipt]) error
}

// PosterConfig says what is posted where.
type PosterConfig struct {
	Client *Client
	Log    VoucherLog
	// Approver gives the addresses of an approver, false if nobody knows it now.
	Approver func(caps.PublicKey) (p2p.Peer, bool)
	// Epochs, if set, learns the approvers' revocation epochs with each round.
	Epochs *Epochs
	// Interval is the time between rounds; default 30 s.
	Interval time.Duration
	// RefusedRest is how long a voucher that an approver refused rests; default 1 h.
	RefusedRest time.Duration
	Now         func() time.Time // default time.Now
	Logger      *slog.Logger     // default discards
}

// A Poster brings a payee's vouchers to their approvers until each has its
// receipt. What it knows is in the log, so a restart loses nothing; and posting
// twice changes nothing, so an answer that got lost is asked for again.
//
// Safe for concurrent use.
type Poster struct {
	cfg PosterConfig

	mu      sync.Mutex // held through a round
	resting map[[32]byte]time.Time
}

// NewPoster posts nothing yet.
func NewPoster(cfg PosterConfig) *Poster {
	set(&cfg.Interval, 30*time.Second)
	set(&cfg.RefusedRest, time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Poster{cfg: cfg, resting: make(map[[32]byte]time.Time)}
}

// A Round says what one round of posting achieved.
type Round struct {
	// Posted vouchers have their receipts now. Refused ones were answered with an
	// error and rest for a while. Left ones were not answered.
	Posted  int `json:"posted"`
	Refused int `json:"refused"`
	Left    int `json:"left"`
}

// PostAll does one round now. The error joins what went wrong; what could be
// posted was.
func (p *Poster) PostAll(ctx context.Context) (Round, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var round Round
	var errs []error
	for approver, vs := range p.pending() {
		if err := p.postTo(ctx, approver, vs, &round); err != nil {
			errs = append(errs, err)
		}
	}
	if p.cfg.Epochs != nil {
		for _, approver := range p.cfg.Epochs.Known() {
			if err := p.learnEpoch(ctx, approver); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return round, errors.Join(errs...)
}

// pending groups what is to be posted now by approver.
func (p *Poster) pending() map[caps.PublicKey][]sealed.Sealed[billing.Voucher] {
	now := p.cfg.Now()
	out := make(map[caps.PublicKey][]sealed.Sealed[billing.Voucher])
	resting := make(map[[32]byte]time.Time)
	for _, v := range p.cfg.Log.Pending() {
		hash := v.Voucher.Hash()
		if until, ok := p.resting[hash]; ok && now.Before(until) {
			resting[hash] = until
			continue
		}
		out[v.Approver] = append(out[v.Approver], v.Voucher)
	}
	p.resting = resting // those that are no longer pending are forgotten
	return out
}

func (p *Poster) postTo(ctx context.Context, approver caps.PublicKey, vs []sealed.Sealed[billing.Voucher], round *Round) error {
	to, ok := p.cfg.Approver(approver)
	if !ok {
		round.Left += len(vs)
		return fmt.Errorf("posting to %s: %w: its addresses are not known", approver, ErrAway)
	}
	var errs []error
	answered := 0
	for len(vs) > 0 {
		batch := vs[:min(len(vs), maxRequests)]
		vs = vs[len(batch):]
		err := p.cfg.Client.PostAll(ctx, to, batch, func(i int, r sealed.Sealed[billing.Receipt], err error) {
			answered++
			if err == nil {
				err = p.cfg.Log.MarkPosted(batch[i].Value.Channel, r)
			}
			if err == nil {
				round.Posted++
				return
			}
			round.Refused++
			p.resting[batch[i].Hash()] = p.cfg.Now().Add(p.rest(err))
			errs = append(errs, fmt.Errorf("voucher of channel %s: %w", batch[i].Value.Channel, err))
		})
		if err != nil {
			round.Left += len(batch) - answered + len(vs)
			return errors.Join(append(errs, fmt.Errorf("%w: %w", ErrAway, err))...)
		}
		answered = 0
	}
	return errors.Join(errs...)
}

// rest is how long to leave a voucher alone after err: not at all when the
// approver or our disk is in trouble, long when the answer will be the same.
func (p *Poster) rest(err error) time.Duration {
	switch p2p.KindOf(err) {
	case p2p.Internal, p2p.Busy, p2p.Unavailable:
		return 0
	default:
		return p.cfg.RefusedRest
	}
}

func (p *Poster) learnEpoch(ctx context.Context, approver caps.PublicKey) error {
	to, ok := p.cfg.Approver(approver)
	if !ok {
		return nil
	}
	st, err := p.cfg.Client.Status(ctx, to)
	if err != nil {
		return err
	}
	return p.cfg.Epochs.Observe(approver, st.Epoch)
}

// Run posts until ctx ends: at once and with each interval, less often while that
// fails. It returns nil; the last round is the caller's to ask for, with a context
// of its own.
func (p *Poster) Run(ctx context.Context) error {
	wait := p.cfg.Interval
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		step, cancel := context.WithTimeout(ctx, time.Minute)
		round, err := p.PostAll(step)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait = min(2*wait, 5*time.Minute)
			p.cfg.Logger.WarnContext(ctx, "not every voucher was posted", "posted", round.Posted, "refused", round.Refused, "left", round.Left, "error", err)
		default:
			wait = p.cfg.Interval
		}
		timer.Reset(wait)
	}
}
