package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/client"
	"trunkline/grid/contact"
	"trunkline/grid/gateway"
	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

// finalPost bounds the last round of posting when a payee ends.
const finalPost = 5 * time.Second

// openContact serves this grid's files to other grids: the download engine behind the payee's half of the range
// protocol.
func (d *daemon) openContact(ctx context.Context) error {
	fleet := client.NewFleet(d.host, d.servers)
	d.settle(fleet.Close)
	others, err := d.cfg.Tahoe.open(d.home, d.log)
	if err != nil {
		return err
	}
	if others != nil {
		d.settle(others.Close)
	}
	servers, _ := joined(fleet, others)
	files, err := mutable.New(mutable.Config{Servers: servers, Logger: d.log, Now: time.Now})
	if err != nil {
		return err
	}
	source := contact.NewSource(contact.Config{Servers: servers, Mutable: files, Look: d.look, Now: time.Now, Logger: d.log})
	d.settle(source.Close)
	tariffs := &tariffBook{current: func(r roster.Roster) []byte { return r.ExportTariff }, members: d.members, look: d.look}
	err = d.openPayee(ctx, "contact", longdistance.PayeeConfig{
		Source: source, Tariff: tariffs.now, OldTariff: tariffs.old,
		Approver: func(approver caps.PublicKey, epoch uint64) error {
			if _, ok := d.approver(approver); !ok || approver == d.managerKey() {
				return fmt.Errorf("this grid does not settle with it: %w", p2p.ErrDenied)
			}
			return d.epochs.Check(approver, epoch)
		},
	})
	if err != nil {
		return err
	}
	return d.republish()
}

// openGateway serves other grids' files to this grid's clients: a payer towards contact points behind the same half
// of the same protocol.
func (d *daemon) openGateway(ctx context.Context) error {
	if err := os.MkdirAll(d.home.path("approvals"), 0o700); err != nil {
		return err
	}
	approvals := account.NewApprovals(account.ApprovalsConfig{
		Client: account.NewClient(d.host), Self: d.host.Key(), Credential: d.credential(), Dir: d.home.path("approvals"), WantBytes: wantBytes,
		Now: time.Now, Logger: d.log,
	})
	d.run(approvals.Run)
	payer, err := longdistance.NewPayer(longdistance.PayerConfig{
		Key: d.key, Dial: longdistance.DialFrom(d.host), Approvals: approvals, Logger: d.log, Now: time.Now,
		Switched: func(failed longdistance.Attempt) {
			d.log.Warn("contact point replaced", "peer_id", failed.Payee.String(), "area_code", failed.Area.String(), "error", failed.Err)
		},
	})
	if err != nil {
		return err
	}
	d.settle(payer.Close)
	tariffs := &tariffBook{current: func(r roster.Roster) []byte { return r.LocalTariff }, members: d.members, look: d.look}
	source, err := gateway.NewSource(gateway.Config{
		Payer: payer, Resolver: d.areas, Refresh: d.areas.Refresh, Now: time.Now,
		Policy: func() longdistance.AreaPolicy {
			var currency string
			if t, err := tariffs.now(); err == nil {
				currency = t.Value.Currency
			}
			policy, err := d.cfg.Gateway.policy(currency)
			if err != nil {
				return longdistance.AreaPolicy{TollFreeOnly: true}
			}
			return policy
		},
	})
	if err != nil {
		return err
	}
	return d.openPayee(ctx, "gateway", longdistance.PayeeConfig{
		Source: source, Tariff: tariffs.now, OldTariff: tariffs.old,
		Allow: func(ctx context.Context, peer caps.PublicKey) error { return d.allow(ctx, peer, roster.Client) },
		Approver: func(approver caps.PublicKey, epoch uint64) error {
			if approver != d.managerKey() {
				return fmt.Errorf("it is not this grid's manager: %w", p2p.ErrDenied)
			}
			return d.epochs.Check(approver, epoch)
		},
	})
}

// openPayee serves the range protocol and brings what payers sign to their approvers. One host serves one source:
// a node is a gateway or a contact point.
func (d *daemon) openPayee(ctx context.Context, role string, c longdistance.PayeeConfig) error {
	if d.vouchers != nil {
		return fmt.Errorf("%w: a node is either a gateway or a contact point; give each a directory of its own", ErrConfig)
	}
	var err error
	if d.vouchers, err = longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: d.home.path("vouchers.log"), Now: time.Now}); err != nil {
		return err
	}
	d.stop(d.vouchers.Close)
	if d.epochs, err = account.OpenEpochs(d.home.path("epochs.json"), d.managerKey()); err != nil {
		return err
	}
	poster := account.NewPoster(account.PosterConfig{
		Client: account.NewClient(d.host), Log: d.vouchers, Approver: d.approver, Epochs: d.epochs, Now: time.Now, Logger: d.log,
	})
	d.run(poster.Run)
	d.settle(func() error {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalPost)
		defer cancel()
		if _, err := poster.PostAll(last); err != nil {
			d.log.WarnContext(last, "vouchers are left for the next run to post", "error", err)
		}
		return nil
	})
	books := d.ops["bill"] // of a manager in the same process
	d.ops["bill"] = op(func(ctx context.Context, in BillRequest) (any, error) {
		switch {
		case !in.Post && books != nil:
			raw, err := json.Marshal(in)
			if err != nil {
				return nil, err
			}
			return books(ctx, raw)
		case !in.Post:
			return d.ownBill(ctx, in.Period)
		}
		round, err := poster.PostAll(ctx)
		if err != nil {
			return nil, fmt.Errorf("posting to the approver: %w", err)
		}
		return round, nil
	})
	c.Key, c.Vouchers, c.Owed = d.host.Key(), d.vouchers, func(longdistance.Owed) {}
	if c.Area, err = d.cfg.HomeArea(); err != nil {
		return err
	}
	c.Logger, c.Now = d.log.With("role", role), time.Now
	payee, err := longdistance.NewPayee(c)
	if err != nil {
		return err
	}
	payee.Register(d.host)
	return nil
}

// ownBill is this member's account with its grid's manager.
func (d *daemon) ownBill(ctx context.Context, period uint64) (Bill, error) {
	m, ok := d.approver(d.managerKey())
	if !ok {
		return Bill{}, ErrNoGrid
	}
	s, err := account.NewClient(d.host).Statement(ctx, m, account.StatementAsk{
		Account: d.host.Key(), Period: period, Current: period == 0,
	})
	return Bill{}.with(s, m.Key, err)
}

// republish keeps the grid's area record alive, as every contact point does.
func (d *daemon) republish() error {
	code, err := d.cfg.HomeArea()
	if err != nil {
		return err
	}
	d.run(func(ctx context.Context) error { return d.areas.Republish(ctx, code) })
	return nil
}

func (d *daemon) servers() []roster.Member {
	v, err := d.members.Current()
	if err != nil {
		return nil
	}
	return v.Roster.Value.With(roster.Server)
}

func (d *daemon) managerKey() caps.PublicKey {
	v, err := d.members.Current()
	if err != nil {
		return caps.PublicKey{}
	}
	return v.Delegation.Delegate
}

// approver says where an approver that this grid deals with is: its manager, or one of its clearinghouses.
func (d *daemon) approver(key caps.PublicKey) (p2p.Peer, bool) {
	v, err := d.members.Current()
	if err != nil {
		return p2p.Peer{}, false
	}
	if key == v.Delegation.Delegate {
		return p2p.Peer{Key: key, Addrs: v.Roster.Value.ManagerAddrs}, true
	}
	for _, c := range v.Roster.Value.Clearinghouses {
		if c.Key == key {
			return c, true
		}
	}
	return p2p.Peer{}, false
}

// credential proves to a clearinghouse which grid this node belongs to.
func (d *daemon) credential() func() ([]byte, error) {
	if h, ok := d.members.(*roster.Holder); ok {
		return h.Credential
	}
	return func() ([]byte, error) {
		// The manager issues its own.
		c, err := d.manager.Certify(context.Background(), d.host.Key(), nil)
		if err != nil {
			return nil, err
		}
		v, err := d.manager.Current()
		if err != nil {
			return nil, err
		}
		return roster.Credential{Delegation: v.Bundle.Delegation, Certificate: c.Bytes}.Marshal()
	}
}

// tariffBook is the tariff that the newest roster names, and those of older rosters seen in this run: a channel keeps
// the tariff that it was opened under.
type tariffBook struct {
	members membership
	current func(roster.Roster) []byte
	look    func(context.Context) bool // for a newer roster; says whether there is one

	mu    sync.Mutex
	known map[billing.TariffHash]sealed.Sealed[billing.Tariff]
	last  sealed.Sealed[billing.Tariff]
}

var errNoTariff = errors.New("the grid has published no tariff")

func (b *tariffBook) now() (sealed.Sealed[billing.Tariff], error) {
	v, err := b.members.Current()
	if err != nil {
		return sealed.Sealed[billing.Tariff]{}, err
	}
	raw := b.current(v.Roster.Value)
	if len(raw) == 0 {
		return sealed.Sealed[billing.Tariff]{}, errNoTariff
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if string(b.last.Bytes) == string(raw) {
		return b.last, nil
	}
	t, err := sealed.Open[billing.Tariff](raw)
	if err != nil {
		return t, fmt.Errorf("the grid's tariff: %w", err)
	}
	if b.known == nil {
		b.known = map[billing.TariffHash]sealed.Sealed[billing.Tariff]{}
	}
	b.known[billing.HashTariff(t)] = t
	b.last = t
	return t, nil
}

// old finds a tariff that is not the one in force by this node's roster: it was once, or it is by a newer roster, which
// payer and approver may have heard of first.
func (b *tariffBook) old(hash billing.TariffHash) (sealed.Sealed[billing.Tariff], bool) {
	if t, ok := b.seen(hash); ok {
		return t, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), newcomerWait)
	defer cancel()
	if !b.look(ctx) {
		return sealed.Sealed[billing.Tariff]{}, false
	}
	if _, err := b.now(); err != nil {
		return sealed.Sealed[billing.Tariff]{}, false
	}
	return b.seen(hash)
}

func (b *tariffBook) seen(hash billing.TariffHash) (sealed.Sealed[billing.Tariff], bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.known[hash]
	return t, ok
}

// policy is the gateway's policy for areas that charge in currency, which is the home grid's: prices in another
// can't be compared with the ceiling, so they are refused.
func (g GatewayConfig) policy(currency string) (longdistance.AreaPolicy, error) {
	var p longdistance.AreaPolicy
	for _, c := range []struct {
		name, text string
		into       *map[string]billing.Credits
	}{{"price_ceiling", g.PriceCeiling, &p.MaxPerGiB}, {"lookup_ceiling", g.LookupCeiling, &p.MaxPerLookup}} {
		amount, err := billing.ParseCredits(c.text)
		if err != nil {
			return p, fmt.Errorf("%w: gateway.%s: %w", ErrConfig, c.name, err)
		}
		*c.into = map[string]billing.Credits{currency: amount}
	}
	for _, l := range []struct {
		name  string
		texts []string
		into  *[]caps.AreaCode
	}{{"deny_areas", g.DenyAreas, &p.Deny}, {"allow_areas", g.AllowAreas, &p.Allow}} {
		for _, t := range l.texts {
			a, err := caps.ParseAreaCode(t)
			if err != nil {
				return p, fmt.Errorf("%w: gateway.%s: %w", ErrConfig, l.name, err)
			}
			*l.into = append(*l.into, a)
		}
	}
	return p, nil
}
