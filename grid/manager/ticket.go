package manager

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

const (
	maxTickets = 1024
	// DefaultTicketLife is how long a ticket is good unless told otherwise.
	DefaultTicketLife = 72 * time.Hour
	// serialBlock is how many certificate numbers are set aside with one write.
	serialBlock = 1024
	// announceEvery is how often one member may change its addresses.
	announceEvery = 5 * time.Second
)

// TicketInfo is a ticket as people see it.
type TicketInfo struct {
	ID      string           `json:"id"`
	Roles   string           `json:"roles"`
	Name    string           `json:"name,omitempty"`
	Expires time.Time        `json:"expires"`
	Uses    int              `json:"uses"`
	Left    int              `json:"left"`
	UsedBy  []caps.PublicKey `json:"used_by,omitempty"`
	// Text is the whole ticket, a password. Only Invite returns it; the manager
	// does not keep it.
	Text string `json:"text,omitempty"`
}

func (t ticket) info() TicketInfo {
	return TicketInfo{
		ID: t.id(), Roles: t.Roles.String(), Name: t.Name, Expires: time.Unix(t.Expires, 0).UTC(),
		Uses: t.Uses, Left: t.Uses - len(t.UsedBy), UsedBy: slices.Clone(t.UsedBy),
	}
}

func (t ticket) id() string { return roster.TicketID(t.Hash[:8]).String() }

// Invite makes a ticket that lets uses nodes join in the given roles within life;
// 0 means one node and [DefaultTicketLife]. name is given to members that bring
// none. The manager's addresses are in it, so it has to be on the network.
//
// Errors: ErrArgument, ErrFull, ErrNotServing.
func (m *Manager) Invite(ctx context.Context, roles roster.Role, uses int, life time.Duration, name string) (TicketInfo, error) {
	if uses == 0 {
		uses = 1
	}
	if life == 0 {
		life = DefaultTicketLife
	}
	if !roles.Valid() || uses < 0 || uses > roster.MaxMembers || life < 0 {
		return TicketInfo{}, fmt.Errorf("%w: roles %s, %d uses, %s", ErrArgument, roles, uses, life)
	}
	if err := roster.CheckName(name); err != nil {
		return TicketInfo{}, fmt.Errorf("%w: %w", ErrArgument, err)
	}
	secret := roster.RandomSecret()
	hash := secret.Hash()
	now := m.cfg.Now()
	t := ticket{Hash: hash[:], Roles: roles, Name: name, Expires: now.Add(life).Unix(), Uses: uses}
	s := m.state()
	if len(s.Addrs) == 0 {
		return TicketInfo{}, fmt.Errorf("making a ticket: %w: nobody could find it", ErrNotServing)
	}
	text, err := roster.Ticket{
		Area: s.Area, Manager: p2p.Peer{Key: s.Delegate, Addrs: s.Addrs}, Roles: roles, Expires: t.Expires, Secret: secret,
	}.Text()
	if err != nil {
		return TicketInfo{}, fmt.Errorf("making a ticket: %w", err)
	}
	err = m.quietChange(ctx, func(s *state) error {
		s.Tickets = slices.DeleteFunc(s.Tickets, func(t ticket) bool { return t.Expires < now.Unix() })
		if len(s.Tickets) >= maxTickets {
			return fmt.Errorf("%w: %d tickets; revoke some", ErrFull, maxTickets)
		}
		s.Tickets = append(s.Tickets, t)
		return nil
	})
	if err != nil {
		return TicketInfo{}, err
	}
	info := t.info()
	info.Text = text
	return info, nil
}

// Tickets lists the tickets that have not ended, oldest first.
func (m *Manager) Tickets() []TicketInfo {
	now := m.cfg.Now().Unix()
	out := []TicketInfo{}
	for _, t := range m.state().Tickets {
		if t.Expires >= now {
			out = append(out, t.info())
		}
	}
	return out
}

// RevokeTicket makes a ticket worthless; members that joined by it stay.
// Errors: ErrNoTicket.
func (m *Manager) RevokeTicket(ctx context.Context, id string) error {
	return m.quietChange(ctx, func(s *state) error {
		n := len(s.Tickets)
		s.Tickets = slices.DeleteFunc(s.Tickets, func(t ticket) bool { return t.id() == id })
		if len(s.Tickets) == n {
			return fmt.Errorf("%q: %w", id, ErrNoTicket)
		}
		return nil
	})
}

// quietChange is change for what no roster shows.
func (m *Manager) quietChange(ctx context.Context, fn func(*state) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	next := m.state().clone()
	if err := fn(next); err != nil {
		return err
	}
	if err := next.save(m.cfg.Dir); err != nil {
		return err
	}
	m.st.Store(next)
	return nil
}

// Redeem makes key a member by a ticket, once for each use the ticket has. The
// same key may come again, in case the answer was lost. It implements
// [roster.Issuer].
func (m *Manager) Redeem(ctx context.Context, key caps.PublicKey, secret roster.Secret, name string, addrs []string) error {
	hash := secret.Hash()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state()
	i := slices.IndexFunc(s.Tickets, func(t ticket) bool { return bytes.Equal(t.Hash, hash[:]) })
	if i < 0 {
		return roster.ErrTicket
	}
	t := s.Tickets[i]
	if t.Expires < m.cfg.Now().Unix() {
		return fmt.Errorf("ticket %s: %w", t.id(), roster.ErrExpired)
	}
	if slices.Contains(t.UsedBy, key) && s.member(key) >= 0 {
		return nil
	}
	if len(t.UsedBy) >= t.Uses {
		return roster.ErrTicketUsed
	}
	if s.revoked(key) {
		return fmt.Errorf("%w: %w", roster.ErrNotMember, ErrRevoked)
	}
	if name == "" {
		name = t.Name
	}
	roles := t.Roles
	if j := s.member(key); j >= 0 {
		roles |= s.Members[j].Roles // a ticket adds, it takes nothing away
	}
	_, err := m.approve(ctx, key, roles, name, addrs, func(s *state) {
		t.UsedBy = append(slices.Clone(t.UsedBy), key)
		s.Tickets[i] = t
	})
	return err
}

// Bootstrap lists the gateways and contact points that listen: servers take no part
// in the DHT and keep no area records. It implements [roster.Issuer].
func (m *Manager) Bootstrap() []p2p.Peer {
	var out []p2p.Peer
	for _, e := range m.state().Members {
		if len(e.Addrs) > 0 && e.Roles.Any(roster.Gateway|roster.Contact) {
			out = append(out, p2p.Peer{Key: e.Key, Addrs: slices.Clone(e.Addrs)})
		}
	}
	return out
}

// Certify gives a member its certificate and notes where it is. It implements
// [roster.Issuer].
func (m *Manager) Certify(ctx context.Context, key caps.PublicKey, addrs []string) (roster.SealedCertificate, error) {
	var none roster.SealedCertificate
	m.mu.Lock()
	defer m.mu.Unlock()
	s, now := m.state(), m.cfg.Now()
	i := s.member(key)
	if i < 0 {
		return none, roster.ErrNotMember
	}
	if len(addrs) > 0 && !slices.Equal(addrs, s.Members[i].Addrs) && now.Sub(m.announced[key]) >= announceEvery {
		if err := m.changeLocked(ctx, func(s *state) error {
			s.Members[i].Addrs = addrs
			return nil
		}); err != nil {
			return none, err
		}
		m.announced[key] = now
	}
	s = m.state()
	e := s.Members[i]
	if c, ok := m.certs[key]; ok && now.Before(c.Value.HalfLife()) && c.Value.Epoch == s.Epoch && c.Value.Roles == e.Roles && c.Value.Name == e.Name {
		return c, nil
	}
	serial, err := m.serial(ctx)
	if err != nil {
		return none, err
	}
	c, err := sealed.Seal(m.key, roster.Certificate{
		Area: s.Area, Key: key, Roles: e.Roles, Name: e.Name, Serial: serial, Epoch: s.Epoch,
		IssuedAt: now.Unix(), NotAfter: now.Add(m.cfg.Lives.Certificate).Unix(),
	})
	if err != nil {
		return none, fmt.Errorf("signing certificate: %w", err)
	}
	m.certs[key] = c
	return c, nil
}

// serial is the next certificate's number. Numbers are set aside in blocks, so
// that certificates cost no write each. The caller holds mu.
func (m *Manager) serial(ctx context.Context) (uint64, error) {
	if s := m.state(); m.nextCert >= s.SerialsBelow {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		next := s.clone()
		m.nextCert = max(s.SerialsBelow, 1)
		next.SerialsBelow = m.nextCert + serialBlock
		if err := next.save(m.cfg.Dir); err != nil {
			return 0, err
		}
		m.st.Store(next)
	}
	m.nextCert++
	return m.nextCert - 1, nil
}
