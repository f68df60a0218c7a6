package client_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/client"
	"trunkline/grid/contact"
	"trunkline/grid/gateway"
	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/p2ptest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) (crypto.PrivKey, caps.PublicKey) {
	t.Helper()
	key, err := p2p.GenerateKey()
	must(t, err)
	public, err := p2p.KeyOf(key)
	must(t, err)
	return key, public
}

// grid is one grid: servers in memory, everything else as hosts on loopback.
type grid struct {
	t        testing.TB
	manager  crypto.PrivKey
	area     caps.AreaCode
	servers  []*gridtest.Server
	tariff   sealed.Sealed[billing.Tariff]
	contacts []*node
	gateways []*node
	approver crypto.PrivKey // of callers from other grids
}

// node is a payee.
type node struct {
	host *p2p.Host
	log  *longdistance.VoucherLog
}

func (n *node) vouched() (bytes uint64) {
	for _, o := range n.log.All() {
		bytes += o.Voucher.Value.Bytes
	}
	return bytes
}

var clearinghouse = sync.OnceValue(func() crypto.PrivKey {
	key, err := p2p.GenerateKey()
	if err != nil {
		panic(err)
	}
	return key
})

// newGrid makes a grid of ten servers with one contact point.
func newGrid(t testing.TB, edit ...func(*billing.Tariff)) *grid {
	t.Helper()
	key, public := newKey(t)
	g := &grid{t: t, manager: key, area: caps.NewAreaCode(public), servers: gridtest.New(10), approver: clearinghouse()}
	tariff := billing.Tariff{
		Area: g.area, Sequence: 1, Currency: "EUR", PerGiB: 3 * billing.Unit,
		ValidFrom: time.Now().Add(-time.Hour).Unix(), ValidUntil: time.Now().Add(time.Hour).Unix(),
	}
	for _, e := range edit {
		e(&tariff)
	}
	var err error
	g.tariff, err = sealed.Seal(key, tariff)
	must(t, err)
	g.addContact()
	return g
}

func tollFree(t *billing.Tariff) { t.TollFree, t.PerGiB = true, 0 }

func (g *grid) transferServers() []transfer.Server {
	out := make([]transfer.Server, len(g.servers))
	for i, s := range g.servers {
		out[i] = s
	}
	return out
}

// payee registers a payee on a new host.
func (g *grid) payee(source longdistance.Source, approver crypto.PrivKey, edit ...func(*longdistance.PayeeConfig)) *node {
	g.t.Helper()
	n := &node{}
	var err error
	n.log, err = longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: filepath.Join(g.t.TempDir(), "vouchers"), NoSync: true})
	must(g.t, err)
	g.t.Cleanup(func() { must(g.t, n.log.Close()) })
	n.host = p2ptest.Hosts(g.t, 1)[0]
	trusted, err := p2p.KeyOf(approver)
	must(g.t, err)
	c := longdistance.PayeeConfig{
		Key: n.host.Key(), Area: g.area, Source: source, Vouchers: n.log,
		Tariff: func() (sealed.Sealed[billing.Tariff], error) { return g.tariff, nil },
		Approver: func(k caps.PublicKey, _ uint64) error {
			if k != trusted {
				return fmt.Errorf("not an approver here")
			}
			return nil
		},
	}
	for _, e := range edit {
		e(&c)
	}
	p, err := longdistance.NewPayee(c)
	must(g.t, err)
	p.Register(n.host)
	return n
}

func (g *grid) addContact() {
	g.t.Helper()
	files, err := mutable.New(mutable.Config{Servers: g.transferServers})
	must(g.t, err)
	source := contact.NewSource(contact.Config{Servers: g.transferServers, Mutable: files})
	g.t.Cleanup(func() { must(g.t, source.Close()) })
	g.contacts = append(g.contacts, g.payee(source, g.approver))
}

// addGateway makes a gateway that may call what is in resolver.
func (g *grid) addGateway(r resolver, policy longdistance.AreaPolicy, edit ...func(*longdistance.PayeeConfig)) {
	g.t.Helper()
	dialler := p2ptest.Hosts(g.t, 1)[0]
	payer := newPayer(g.t, dialler, clearinghouse())
	source, err := gateway.NewSource(gateway.Config{Payer: payer, Resolver: r, Policy: func() longdistance.AreaPolicy { return policy }})
	must(g.t, err)
	g.gateways = append(g.gateways, g.payee(source, g.manager, edit...))
}

// cheap allows any price that these tests ask.
var cheap = longdistance.AreaPolicy{MaxPerGiB: map[string]billing.Credits{"EUR": 10 * billing.Unit}}

// info is the area record of g.
func (g *grid) info() area.Info {
	i := area.Info{Area: g.area, Delegate: g.area.Key(), Sheet: area.Sheet{Tariff: g.tariff.Bytes}}
	for _, c := range g.contacts {
		i.Sheet.Contacts = append(i.Sheet.Contacts, c.host.Self())
	}
	return i
}

// resolver knows grids.
type resolver []*grid

func (r resolver) Resolve(_ context.Context, code caps.AreaCode) (area.Info, error) {
	for _, g := range r {
		if g.area == code {
			return g.info(), nil
		}
	}
	return area.Info{}, area.ErrUnknownArea
}

// newPayer makes a payer that an approver approves of; nil: nobody does.
func newPayer(t testing.TB, h *p2p.Host, approver crypto.PrivKey) *longdistance.Payer {
	t.Helper()
	c := longdistance.PayerConfig{Key: h.PrivKey(), Dial: longdistance.DialFrom(h)}
	if approver != nil {
		c.Approvals = &approvals{t: t, approver: approver, payer: h.Key(), granted: make(map[billing.ChannelID]sealed.Sealed[billing.Approval])}
	}
	p, err := longdistance.NewPayer(c)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// approvals grants everything at once.
type approvals struct {
	t        testing.TB
	approver crypto.PrivKey
	payer    caps.PublicKey
	mu       sync.Mutex
	granted  map[billing.ChannelID]sealed.Sealed[billing.Approval]
}

func (a *approvals) Get(_ context.Context, need account.Need) (sealed.Sealed[billing.Approval], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	approver, err := p2p.KeyOf(a.approver)
	must(a.t, err)
	id := billing.NewChannelID(approver, a.payer, need.Payee, billing.HashTariff(need.Tariff), 1)
	if s, ok := a.granted[id]; ok {
		return s, nil
	}
	now := time.Now().Unix()
	s, err := sealed.Seal(a.approver, billing.Approval{
		Channel: id, Approver: approver, Payer: a.payer, Payee: need.Payee, PayerAccount: a.payer, PayeeAccount: need.PayeeArea.Key(),
		Tariff: billing.HashTariff(need.Tariff), Period: 1, CapBytes: 1 << 40, CapCredits: 1 << 40,
		IssuedAt: now, NotAfter: now + 3600, GraceUntil: now + 3600, Window: billing.StartWindow,
	})
	a.granted[id] = s
	return s, err
}

func (a *approvals) Latest(id billing.ChannelID) (sealed.Sealed[billing.Approval], bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.granted[id]
	return s, ok
}

func (a *approvals) Used(billing.ChannelID, uint64) {}
func (a *approvals) Forget(billing.ChannelID)       {}

// client makes a member's client.
func (g *grid) client(edit ...func(*client.Config)) *client.Client {
	g.t.Helper()
	c := client.Config{
		Home: g.area, Servers: g.transferServers, Secret: []byte("a secret of these tests"), MaxSegment: 16 << 10,
		Payer: newPayer(g.t, p2ptest.Hosts(g.t, 1)[0], g.manager),
		Gateways: func() []longdistance.Offer {
			offers := make([]longdistance.Offer, len(g.gateways))
			for i, n := range g.gateways {
				offers[i] = longdistance.Offer{Peer: n.host.Self(), Area: g.area, Signer: g.area.Key()}
			}
			return offers
		},
	}
	for _, e := range edit {
		e(&c)
	}
	return client.New(c)
}
