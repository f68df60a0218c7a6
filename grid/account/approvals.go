package account

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/durable"
)

// ApprovalsConfig says whom a payer asks, and as whom.
type ApprovalsConfig struct {
	Client *Client
	// Self is the payer: the key of the client's host.
	Self caps.PublicKey
	// Credential proves the payer's membership; called with each request, so that
	// a renewed one is used at once. Nil for one's own manager, who needs none.
	Credential func() ([]byte, error)
	// Dir keeps approvals between runs of a program that lives for one transfer;
	// empty keeps them in memory only. The folder exists and is this payer's own.
	Dir string
	// WantBytes is asked for with each approval, 0 leaves it to the approver.
	WantBytes uint64
	// Timeout bounds one request; default 10 s.
	Timeout time.Duration
	// RetryAfter is how long a background renewal that failed rests; default 1 min.
	RetryAfter time.Duration
	Now        func() time.Time // default time.Now
	Logger     *slog.Logger     // default discards
}

// A Need is an approval that a payer is going to use.
type Need struct {
	// Approvers are asked in this order until one grants.
	Approvers []p2p.Peer
	Payee     caps.PublicKey
	PayeeArea caps.AreaCode
	Tariff    sealed.Sealed[billing.Tariff]
	// Bytes have to fit below the cap beyond what is signed for already. 0 needs
	// any room at all.
	Bytes uint64
}

// maxApprovals bounds what is remembered; the one that ends first makes room.
const maxApprovals = 1024

// Approvals keeps a payer's approvals and renews them before they are needed: at
// half of their life, and when half of what was granted is used. So a read asks
// nobody, and while the approver is away what is there holds until its end and
// then for its grace.
//
// Safe for concurrent use. Background renewals happen in [Approvals.Run] only.
type Approvals struct {
	cfg  ApprovalsConfig
	kick chan struct{} // capacity 1: something may be due

	mu        sync.Mutex
	entries   map[entryKey]*entry
	byChannel map[billing.ChannelID]*entry
}

// entryKey names what an approval is for; the channel changes with the period.
type entryKey struct {
	approver, payee caps.PublicKey
	tariff          billing.TariffHash
}

type entry struct {
	key      entryKey
	approver p2p.Peer
	ask      Ask
	asking   chan struct{} // capacity 1: held by who asks the approver

	// Guarded by Approvals.mu.
	have    sealed.Sealed[billing.Approval] // zero: none
	used    uint64                          // signed for on have's channel
	base    uint64                          // used when have was granted
	retryAt time.Time                       // no background renewal before
}

// NewApprovals remembers nothing yet.
func NewApprovals(cfg ApprovalsConfig) *Approvals {
	set(&cfg.Timeout, 10*time.Second)
	set(&cfg.RetryAfter, time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Approvals{
		cfg:       cfg,
		kick:      make(chan struct{}, 1),
		entries:   make(map[entryKey]*entry),
		byChannel: make(map[billing.ChannelID]*entry),
	}
}

// Get returns an approval that can be used now. It asks an approver only if there
// is none, if it has ended, or if it has no room for need.Bytes. When no approver
// can be reached, an approval in its grace is returned.
//
// Errors: ErrAway; the last approver's refusal, see [Client.Approve].
func (a *Approvals) Get(ctx context.Context, need Need) (sealed.Sealed[billing.Approval], error) {
	var none sealed.Sealed[billing.Approval]
	var errs []error
	var spare sealed.Sealed[billing.Approval] // good, but in grace
	for _, approver := range need.Approvers {
		e := a.entry(approver, need)
		got, err := a.get(ctx, e, need.Bytes)
		if err == nil {
			return got, nil
		}
		errs = append(errs, err)
		if got.Verified() && !spare.Verified() {
			spare = got
		}
	}
	if spare.Verified() {
		return spare, nil
	}
	if len(errs) == 0 {
		return none, fmt.Errorf("%w: payer and payee share no approver", ErrAway)
	}
	return none, errors.Join(errs...)
}

// get is Get at one approver. With an error it may return an approval in its grace,
// which serves if nothing better is found.
func (a *Approvals) get(ctx context.Context, e *entry, need uint64) (sealed.Sealed[billing.Approval], error) {
	if have, ok := a.usable(e, need); ok {
		return have, nil
	}
	select {
	case e.asking <- struct{}{}:
		defer func() { <-e.asking }()
	case <-ctx.Done():
		return sealed.Sealed[billing.Approval]{}, ctx.Err()
	}
	if have, ok := a.usable(e, need); ok { // somebody else asked meanwhile
		return have, nil
	}
	err := a.renew(ctx, e, need)
	if err != nil {
		return a.grace(e, need, err), err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if left := e.left(false); left < max(need, 1) {
		return sealed.Sealed[billing.Approval]{}, fmt.Errorf("%w: %d bytes are granted, %d are needed", ErrCredit, left, max(need, 1))
	}
	return e.have, nil
}

// usable is the approval at hand if it has time and room left; if it is due, the
// background is told.
func (a *Approvals) usable(e *entry, need uint64) (sealed.Sealed[billing.Approval], bool) {
	now := a.cfg.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !e.have.Verified() || e.have.Value.InGrace(now) || e.left(false) < max(need, 1) {
		return sealed.Sealed[billing.Approval]{}, false
	}
	if e.due(now) {
		a.wake()
	}
	return e.have, true
}

// grace is the approval at hand if the approver did not answer and the payee may
// go on without it.
func (a *Approvals) grace(e *entry, need uint64, err error) sealed.Sealed[billing.Approval] {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !e.have.Verified() || !isAway(err) || e.have.Value.CheckTime(a.cfg.Now()) != nil || e.left(true) < max(need, 1) {
		return sealed.Sealed[billing.Approval]{}
	}
	return e.have
}

// isAway reports whether the approver did not decide: it could not be reached, or
// said that it cannot now. A decision against the payer is none.
func isAway(err error) bool {
	if !isRemote(err) {
		return true
	}
	switch p2p.KindOf(err) {
	case p2p.Busy, p2p.Unavailable, p2p.Internal:
		return true
	default:
		return false
	}
}

// left is how many bytes may still be signed for.
func (e *entry) left(grace bool) uint64 {
	limit := e.have.Value.CapBytes
	if grace {
		limit = e.have.Value.LimitBytes()
	}
	return limit - min(limit, e.used)
}

// due reports whether the approval ought to be renewed: half of its life is over,
// or half of what it granted is used.
func (e *entry) due(now time.Time) bool {
	if !e.have.Verified() || now.Before(e.retryAt) {
		return false
	}
	v := e.have.Value
	half := v.IssuedAt + (v.NotAfter-v.IssuedAt)/2
	return now.Unix() >= half || e.used >= e.base+(v.CapBytes-min(v.CapBytes, e.base))/2
}

// Used says how far the payer has signed on a channel. Once half of the grant is
// used, the background raises the cap. Lower figures than before change nothing.
func (a *Approvals) Used(channel billing.ChannelID, total uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.byChannel[channel]
	if !ok {
		return
	}
	e.used = max(e.used, total)
	if e.due(a.cfg.Now()) {
		a.wake()
	}
}

// Latest is the newest approval of a channel, for a payer in the middle of a read.
func (a *Approvals) Latest(channel billing.ChannelID) (sealed.Sealed[billing.Approval], bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.byChannel[channel]
	if !ok || e.have.Value.Channel != channel {
		return sealed.Sealed[billing.Approval]{}, false
	}
	return e.have, true
}

// Forget drops a channel's approval, because the payee refused it: its epoch is
// void, or its tariff gone. The next Get asks anew.
func (a *Approvals) Forget(channel billing.ChannelID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.byChannel[channel]; ok {
		a.drop(e)
	}
}

// drop forgets an entry, on disk as well. The caller holds mu.
func (a *Approvals) drop(e *entry) {
	delete(a.byChannel, e.have.Value.Channel)
	if a.entries[e.key] == e {
		delete(a.entries, e.key)
	}
	e.have, e.used, e.base = sealed.Sealed[billing.Approval]{}, 0, 0
	if a.cfg.Dir != "" {
		// A file that stays is checked again when it is read; nothing depends on this.
		_ = os.Remove(a.file(e.key))
	}
}

func (a *Approvals) wake() {
	select {
	case a.kick <- struct{}{}:
	default: // it will look anyway
	}
}

// entry finds or makes the entry for a need, from disk if it is there.
func (a *Approvals) entry(approver p2p.Peer, need Need) *entry {
	key := entryKey{approver: approver.Key, payee: need.Payee, tariff: billing.HashTariff(need.Tariff)}
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.entries[key]; ok {
		e.approver = approver // addresses may be newer
		return e
	}
	if len(a.entries) >= maxApprovals {
		a.evict()
	}
	e := &entry{
		key:      key,
		approver: approver,
		ask:      Ask{Payee: need.Payee, PayeeArea: need.PayeeArea, Tariff: need.Tariff.Bytes},
		asking:   make(chan struct{}, 1),
	}
	a.entries[key] = e
	a.load(e, need.Tariff)
	return e
}

// evict forgets the approval that ends first. The caller holds mu.
func (a *Approvals) evict() {
	var first *entry
	for _, e := range a.entries {
		if first == nil || e.have.Value.NotAfter < first.have.Value.NotAfter {
			first = e
		}
	}
	delete(a.entries, first.key)
	delete(a.byChannel, first.have.Value.Channel)
}

func (a *Approvals) file(k entryKey) string {
	h := sha256.New()
	h.Write(k.approver[:])
	h.Write(k.payee[:])
	h.Write(k.tariff[:])
	return filepath.Join(a.cfg.Dir, hex.EncodeToString(h.Sum(nil)[:16])+".approval")
}

// load takes what an earlier run left, if it is still good for something. A bad
// file is as good as none: the approver is asked. The caller holds mu.
func (a *Approvals) load(e *entry, tariff sealed.Sealed[billing.Tariff]) {
	if a.cfg.Dir == "" {
		return
	}
	b, err := durable.ReadFile(a.file(e.key), maxEnvelope)
	if err != nil {
		return
	}
	s, err := sealed.OpenFrom[billing.Approval](e.key.approver, b)
	if err != nil {
		return
	}
	v := s.Value
	if v.Payer != a.cfg.Self || v.Payee != e.key.payee || v.CheckTariff(tariff) != nil || v.CheckTime(a.cfg.Now()) != nil {
		return
	}
	e.have = s
	a.byChannel[v.Channel] = e
}

// renew asks e's approver. The caller holds e.asking, not mu.
func (a *Approvals) renew(ctx context.Context, e *entry, need uint64) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	a.mu.Lock()
	ask, approver := e.ask, e.approver
	ask.UsedBytes, ask.Renew = e.used, e.have.Value.Channel
	a.mu.Unlock()
	ask.WantBytes = a.cfg.WantBytes
	if ask.WantBytes != 0 || need > 0 {
		ask.WantBytes = max(ask.WantBytes, need)
	}
	if a.cfg.Credential != nil {
		cred, err := a.cfg.Credential()
		if err != nil {
			return fmt.Errorf("proving membership: %w", err)
		}
		ask.Credential = cred
	}
	got, err := a.cfg.Client.Approve(ctx, approver, ask)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		e.retryAt = a.cfg.Now().Add(a.cfg.RetryAfter)
		if errors.Is(err, p2p.ErrDenied) {
			a.drop(e)
		}
		if !isRemote(err) {
			err = fmt.Errorf("%w: %w", ErrAway, err)
		}
		return err
	}
	a.take(e, got)
	return nil
}

// take makes got the approval of e. The caller holds mu.
func (a *Approvals) take(e *entry, got sealed.Sealed[billing.Approval]) {
	old := e.have
	e.have = got
	if old.Value.Channel != got.Value.Channel {
		delete(a.byChannel, old.Value.Channel)
		e.used = 0
	}
	if a.entries[e.key] == e {
		a.byChannel[got.Value.Channel] = e
	}
	e.base = e.used
	e.retryAt = time.Time{}
	if got.Value.CapBytes <= old.Value.CapBytes && old.Value.Channel == got.Value.Channel {
		// The credit allows no more for now; do not ask with every segment.
		e.retryAt = a.cfg.Now().Add(a.cfg.RetryAfter)
	}
	if a.cfg.Dir != "" && !bytes.Equal(old.Bytes, got.Bytes) {
		if err := durable.WriteFile(a.file(e.key), got.Bytes); err != nil {
			a.cfg.Logger.Warn("approval was not kept on disk", "error", err)
		}
	}
}

// RenewDue renews what is due now, a few at a time, and returns when that is done.
func (a *Approvals) RenewDue(ctx context.Context) {
	now := a.cfg.Now()
	a.mu.Lock()
	var due []*entry
	for _, e := range a.entries {
		switch {
		case e.have.Verified() && e.have.Value.CheckTime(now) != nil:
			a.drop(e)
		case e.due(now):
			due = append(due, e)
		}
	}
	a.mu.Unlock()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, e := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			select {
			case e.asking <- struct{}{}:
				defer func() { <-e.asking }()
			default:
				return // somebody is asking already
			}
			if err := a.renew(ctx, e, 0); err != nil && ctx.Err() == nil {
				a.cfg.Logger.WarnContext(ctx, "approval was not renewed", "approver", e.key.approver.String(), "error", err)
			}
		})
	}
	wg.Wait()
}

// Run renews in the background until ctx ends. It returns nil.
func (a *Approvals) Run(ctx context.Context) error {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.kick:
		case <-tick.C:
		}
		a.RenewDue(ctx)
	}
}
