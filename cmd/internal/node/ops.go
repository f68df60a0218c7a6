package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/clearinghouse"
	"trunkline/grid/manager"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

// The requests of the operations, by name. Results are the manager's and the clearinghouse's own types.
type (
	// InviteRequest is "grid/invite".
	InviteRequest struct {
		Roles string        `json:"roles"`
		Uses  int           `json:"uses"`
		Life  time.Duration `json:"life"`
		Name  string        `json:"name"`
	}
	// MemberRequest is "grid/approve" (roles and name too), "grid/revoke" and "grid/credit": Who is a peer ID or a name.
	MemberRequest struct {
		Who        string           `json:"who"`
		Roles      string           `json:"roles,omitempty"`
		Name       string           `json:"name,omitempty"`
		CreditLine *billing.Credits `json:"credit_line,omitempty"`
		Deposit    *billing.Credits `json:"deposit,omitempty"`
		// NodeID is that of the Tahoe-LAFS node whose shares a server goes on with; "grid/approve" takes it.
		NodeID string `json:"node_id,omitempty"`
	}
	// TariffRequest is "grid/tariff"; a nil Terms only asks.
	TariffRequest struct {
		Market manager.Market `json:"market"`
		Terms  *manager.Terms `json:"terms,omitempty"`
	}
	// PeerRequest is "grid/subscribe" and "grid/unsubscribe".
	PeerRequest struct {
		Peer string `json:"peer"`
	}
	// TicketRequest is "grid/revoke-ticket".
	TicketRequest struct {
		ID string `json:"id"`
	}
	// AreaRequest names a grid at a clearinghouse. "clearinghouse/admit" takes Name, CreditLine and Deposit, and leaves
	// those of an account that it has as they are where they are not given; "clearinghouse/deposit" takes Amount.
	AreaRequest struct {
		Area       string           `json:"area"`
		Name       string           `json:"name,omitempty"`
		CreditLine *billing.Credits `json:"credit_line,omitempty"`
		Deposit    *billing.Credits `json:"deposit,omitempty"`
		Amount     billing.Credits  `json:"amount,omitempty"`
	}
	// OpenRequest is "clearinghouse/open". A nil CreditLine leaves the one that grids get as it is.
	OpenRequest struct {
		Open       bool             `json:"open"`
		CreditLine *billing.Credits `json:"credit_line,omitempty"`
	}
	// BillRequest is "bill": the grid's own statements, or with Who that of one account in this node's books.
	BillRequest struct {
		Who    string `json:"who,omitempty"`
		Period uint64 `json:"period,omitempty"` // 0: the present one
		Post   bool   `json:"post,omitempty"`
	}
)

var (
	// ErrUnknownMember: no member has that name or key.
	ErrUnknownMember = errors.New("no such member")
	// ErrArgument: what was asked for makes no sense.
	ErrArgument = errors.New("argument")
	// ErrWrongNode: the node has not the role that does what was asked.
	ErrWrongNode = errors.New("this node can't do that")
)

// parseRoles reads the roles of a member.
func parseRoles(text string) (roster.Role, error) {
	roles, err := roster.ParseRoles(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not a list of different roles, of server, client, gateway and contact", ErrArgument, text)
	}
	return roles, nil
}

// wrongNode says which node directory name, an operation, is for.
func wrongNode(cfg Config, name string) error {
	whose := "a gateway or contact point"
	switch noun, _, _ := strings.Cut(name, "/"); noun {
	case "grid":
		whose = "a grid's manager"
	case "clearinghouse":
		whose = "a clearinghouse"
	case "gc":
		whose = "a storage server"
	}
	return fmt.Errorf("%w: it is for %s, and this node's roles are %v", ErrWrongNode, whose, cfg.Roles)
}

// answers tells whether a node with this configuration has the operation.
func (c Config) answers(name string) bool {
	switch noun, _, _ := strings.Cut(name, "/"); noun {
	case "grid":
		return c.Has(RoleManager)
	case "clearinghouse":
		return c.Has(RoleClearinghouse)
	case "gc":
		return c.Has(RoleServer)
	case "bill":
		return c.Has(RoleManager) || c.Has(RoleClearinghouse) || c.Has(RoleGateway) || c.Has(RoleContact)
	}
	return c.Daemon()
}

func (o Ops) manager(m *manager.Manager) {
	o["grid/status"] = op(func(context.Context, struct{}) (any, error) { return m.Status(), nil })
	o["grid/members"] = op(func(context.Context, struct{}) (any, error) { return m.Members(), nil })
	o["grid/accounts"] = op(func(ctx context.Context, _ struct{}) (any, error) { return m.Accounts(ctx) })
	o["grid/tickets"] = op(func(context.Context, struct{}) (any, error) { return m.Tickets(), nil })
	o["grid/revoke-ticket"] = op(func(ctx context.Context, in TicketRequest) (any, error) {
		return struct{}{}, m.RevokeTicket(ctx, in.ID)
	})
	o["grid/invite"] = op(func(ctx context.Context, in InviteRequest) (any, error) {
		roles, err := parseRoles(in.Roles)
		if err != nil {
			return nil, err
		}
		// A node that runs and is used by commands joins twice, once with each of its keys.
		if roles.Has(roster.Client) && roles != roster.Client {
			in.Uses *= 2
		}
		return m.Invite(ctx, roles, in.Uses, in.Life, in.Name)
	})
	o["grid/approve"] = op(func(ctx context.Context, in MemberRequest) (any, error) {
		key, err := caps.ParsePeerID(in.Who)
		if err != nil {
			return nil, err
		}
		roles, err := parseRoles(in.Roles)
		if err != nil {
			return nil, err
		}
		id, err := StorageConfig{NodeID: in.NodeID}.nodeID()
		if err != nil {
			return nil, err
		}
		info, err := m.Approve(ctx, key, roles, in.Name)
		if err != nil || in.NodeID == "" {
			return info, err
		}
		return m.SetSeed(ctx, key, id)
	})
	o["grid/revoke"] = op(func(ctx context.Context, in MemberRequest) (any, error) {
		key, err := findMember(m, in.Who)
		if err != nil {
			return nil, err
		}
		epoch, err := m.Revoke(ctx, key)
		return map[string]any{"key": key.String(), "epoch": epoch}, err
	})
	o["grid/credit"] = op(func(ctx context.Context, in MemberRequest) (any, error) {
		key, err := findMember(m, in.Who)
		if err != nil {
			return nil, err
		}
		accounts, err := m.Accounts(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range accounts {
			if a.Key != key {
				continue
			}
			if in.CreditLine != nil {
				a.CreditLine = *in.CreditLine
			}
			if in.Deposit != nil {
				a.Deposit = *in.Deposit
			}
			return struct{}{}, m.SetCredit(ctx, key, a.CreditLine, a.Deposit)
		}
		return nil, fmt.Errorf("%w: %s has no account", ErrUnknownMember, in.Who)
	})
	o["grid/tariff"] = op(func(ctx context.Context, in TariffRequest) (any, error) {
		if in.Terms == nil {
			return m.Tariffs()
		}
		t, err := m.SetTariff(ctx, in.Market, *in.Terms)
		if err == nil {
			publish(ctx, m)
		}
		return []manager.TariffInfo{t}, err
	})
	o["grid/subscribe"] = op(func(ctx context.Context, in PeerRequest) (any, error) {
		peer, err := p2p.ParsePeer(in.Peer)
		if err != nil {
			return nil, err
		}
		s, err := m.Subscribe(ctx, peer)
		if err == nil {
			publish(ctx, m)
		}
		return s, err
	})
	o["grid/unsubscribe"] = op(func(ctx context.Context, in PeerRequest) (any, error) {
		key, err := caps.ParsePeerID(in.Peer)
		if err != nil {
			// The address that it was subscribed by will do as well.
			peer, perr := p2p.ParsePeer(in.Peer)
			if perr != nil {
				return nil, err
			}
			key = peer.Key
		}
		return struct{}{}, m.Unsubscribe(ctx, key)
	})
	o["grid/clearinghouses"] = op(func(context.Context, struct{}) (any, error) { return m.Clearinghouses(), nil })
	o["grid/renew-delegation"] = op(func(ctx context.Context, _ struct{}) (any, error) { return m.RenewDelegation(ctx) })
	o["bill"] = op(func(ctx context.Context, in BillRequest) (any, error) {
		bill := Bill{Statements: []BillStatement{}}
		if in.Who != "" {
			key, err := findMember(m, in.Who)
			if err != nil {
				return nil, err
			}
			s, err := m.Statement(ctx, key, in.Period, in.Period == 0)
			return bill.with(s, m.Key(), err)
		}
		for _, house := range m.Clearinghouses() {
			s, err := m.GridStatement(ctx, house.Key, in.Period, in.Period == 0)
			if bill, err = bill.with(s, house.Key, err); err != nil {
				return nil, err
			}
		}
		return bill, nil
	})
}

// publish spreads a changed area record now rather than at the manager's next round. Who could not be reached is
// told by that round.
func publish(ctx context.Context, m *manager.Manager) {
	_ = m.Publish(ctx, true)
}

// findMember takes a peer ID, or a name that only one member has.
func findMember(m *manager.Manager, who string) (caps.PublicKey, error) {
	if key, err := caps.ParsePeerID(who); err == nil {
		return key, nil
	}
	var found []caps.PublicKey
	for _, member := range m.Members() {
		if member.Name == who {
			found = append(found, member.Key)
		}
	}
	switch len(found) {
	case 0:
		return caps.PublicKey{}, fmt.Errorf("%w: nobody is called %q; \"trunkline grid members\" lists names and keys", ErrUnknownMember, who)
	case 1:
		return found[0], nil
	}
	return caps.PublicKey{}, fmt.Errorf("%w: %d members are called %q; name one by its key", ErrUnknownMember, len(found), who)
}

func (o Ops) clearinghouse(c *clearinghouse.Clearinghouse) {
	byArea := func(f func(context.Context, caps.AreaCode, AreaRequest) (any, error)) Op {
		return op(func(ctx context.Context, in AreaRequest) (any, error) {
			code, err := caps.ParseAreaCode(in.Area)
			if err != nil {
				return nil, err
			}
			return f(ctx, code, in)
		})
	}
	o["clearinghouse/status"] = op(func(ctx context.Context, _ struct{}) (any, error) { return c.Status(ctx) })
	o["clearinghouse/accounts"] = op(func(ctx context.Context, _ struct{}) (any, error) { return c.Accounts(ctx) })
	o["clearinghouse/requests"] = op(func(context.Context, struct{}) (any, error) { return c.Requests(), nil })
	o["clearinghouse/open"] = op(func(ctx context.Context, in OpenRequest) (any, error) {
		s, err := c.Status(ctx)
		if err != nil {
			return nil, err
		}
		if in.CreditLine != nil {
			s.CreditLine = *in.CreditLine
		}
		return struct{}{}, c.SetOpen(in.Open, s.CreditLine)
	})
	o["clearinghouse/admit"] = byArea(func(ctx context.Context, code caps.AreaCode, in AreaRequest) (any, error) {
		accounts, err := c.Accounts(ctx)
		if err != nil {
			return nil, err
		}
		terms := clearinghouse.Terms{}
		for _, a := range accounts {
			if a.Area == code {
				terms = clearinghouse.Terms{Name: a.Name, Deposit: a.Deposit, CreditLine: a.CreditLine, Suspended: a.Suspended}
			}
		}
		if in.Name != "" {
			terms.Name = in.Name
		}
		if in.CreditLine != nil {
			terms.CreditLine = *in.CreditLine
		}
		if in.Deposit != nil {
			terms.Deposit = *in.Deposit
		}
		return c.Admit(ctx, code, terms)
	})
	o["clearinghouse/reject"] = byArea(func(_ context.Context, code caps.AreaCode, _ AreaRequest) (any, error) {
		return struct{}{}, c.Reject(code)
	})
	o["clearinghouse/deposit"] = byArea(func(ctx context.Context, code caps.AreaCode, in AreaRequest) (any, error) {
		return c.Deposit(ctx, code, in.Amount)
	})
	for name, suspended := range map[string]bool{"clearinghouse/suspend": true, "clearinghouse/resume": false} {
		o[name] = byArea(func(ctx context.Context, code caps.AreaCode, _ AreaRequest) (any, error) {
			return c.Suspend(ctx, code, suspended)
		})
	}
	o["clearinghouse/check"] = op(func(ctx context.Context, _ struct{}) (any, error) { return struct{}{}, c.Check(ctx) })
	o["bill"] = op(func(ctx context.Context, in BillRequest) (any, error) {
		if in.Who == "" {
			return nil, fmt.Errorf("%w: a clearinghouse keeps many accounts; name a grid with --of AREA", ErrArgument)
		}
		code, err := caps.ParseAreaCode(in.Who)
		if err != nil {
			return nil, fmt.Errorf("whose bill: %w", err)
		}
		s, err := c.Statement(ctx, code, in.Period, in.Period == 0)
		return Bill{}.with(s, c.Key(), err)
	})
}

// Ask performs an operation: on the node that runs in h, or, when none does, by opening what it needs here. So
// every administrative command works with the node up or down, where the operation does not need the network.
func Ask(ctx context.Context, h Home, name string, in, out any) error {
	cfg, err := h.Config()
	if err != nil {
		return err
	}
	if !cfg.answers(name) {
		return wrongNode(cfg, name)
	}
	err = Call(ctx, h, name, in, out)
	if !errors.Is(err, ErrNotRunning) {
		return err
	}
	down := err
	unlock, err := h.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	ops := Ops{}
	silent := slog.New(slog.DiscardHandler)
	var done func() error
	switch {
	case name == "gc":
		if done, err = h.openStoreOps(cfg, ops); err != nil {
			return err
		}
	case cfg.Has(RoleManager):
		m, err := manager.Open(ctx, manager.Config{Dir: h.path("manager"), Now: time.Now, Logger: silent})
		if err != nil {
			return err
		}
		ops.manager(m)
		done = m.Close
	case cfg.Has(RoleClearinghouse):
		c, err := clearinghouse.Open(ctx, clearinghouse.Config{Dir: h.path("clearinghouse"), Now: time.Now, Logger: silent})
		if err != nil {
			return err
		}
		ops.clearinghouse(c)
		done = c.Close
	default:
		return down
	}
	defer func() { _ = done() }()
	f, ok := ops[name]
	if !ok {
		return fmt.Errorf("%w: %q needs it", down, name)
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	result, err := f(ctx, raw)
	if err != nil || out == nil {
		return err
	}
	if raw, err = json.Marshal(result); err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// Bill is what `trunkline bill` shows: one signed statement for each approver that keeps books on this account.
type Bill struct {
	Statements []BillStatement `json:"statements"`
}

// BillStatement is a signed statement as people see it. Verified says that its signature is the approver's and that
// its sums are those of its lines.
type BillStatement struct {
	Approver string          `json:"approver"`
	Account  string          `json:"account"`
	Period   uint64          `json:"period"`
	IssuedAt time.Time       `json:"issued_at"`
	Bytes    uint64          `json:"bytes"`
	Lookups  uint64          `json:"lookups"`
	Currency string          `json:"currency"`
	Debit    billing.Credits `json:"debit"`
	Credit   billing.Credits `json:"credit"`
	Lines    []BillLine      `json:"lines"`
	Verified bool            `json:"verified"`
	// Signed is the statement's envelope, verbatim.
	Signed []byte `json:"signed"`
}

// BillLine is one channel's share of a statement. Voucher is the hash of the payer's signed voucher behind it.
type BillLine struct {
	Entry        uint64          `json:"entry"`
	Channel      string          `json:"channel"`
	Counterparty string          `json:"counterparty"`
	Bytes        uint64          `json:"bytes"`
	Lookups      uint64          `json:"lookups"`
	Credits      billing.Credits `json:"credits"`
	Voucher      string          `json:"voucher"`
}

func (b Bill) with(s sealed.Sealed[billing.Statement], approver caps.PublicKey, err error) (Bill, error) {
	if err != nil {
		return b, err
	}
	v := s.Value
	out := BillStatement{
		Approver: approver.String(), Account: v.Account.String(), Period: v.Period, Currency: v.Currency,
		IssuedAt: time.Unix(v.IssuedAt, 0).UTC(), Debit: v.Debit, Credit: v.Credit, Signed: s.Bytes,
		Verified: s.Signer == approver, Lines: []BillLine{},
	}
	for _, l := range v.Lines {
		out.Bytes += l.Bytes
		out.Lookups += l.Lookups
		out.Lines = append(out.Lines, BillLine{
			Entry: l.Entry, Channel: fmt.Sprintf("%x", l.Channel[:8]), Counterparty: l.Counterparty.String(),
			Bytes: l.Bytes, Lookups: l.Lookups, Credits: l.Credits, Voucher: fmt.Sprintf("%x", l.Voucher[:]),
		})
	}
	b.Statements = append(b.Statements, out)
	return b, nil
}
