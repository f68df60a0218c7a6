package manager

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing/sealed"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// Lives are how long what the manager signs is valid. Zero fields mean the
// defaults in their comments. All are renewed long before they end, as long as the
// manager runs.
type Lives struct {
	// Roster: how long the grid goes on by itself with the manager away; default
	// 7 days. A new one is signed each quarter of it, and with each change.
	Roster time.Duration
	// Certificate: how long a member can prove itself to other grids after it was
	// revoked, towards those that have not heard; default 24 h.
	Certificate time.Duration
	// Sheet: how long a contact sheet can be replayed to somebody new; default
	// area.SheetLife. A new one is signed at half of it.
	Sheet time.Duration
	// Delegation: how long the grid key may stay offline; default
	// area.DelegationLife. Renewed at half of it while the grid key is there.
	Delegation time.Duration
}

func (l Lives) withDefaults() Lives {
	for _, f := range []struct {
		field *time.Duration
		def   time.Duration
	}{
		{&l.Roster, 7 * 24 * time.Hour},
		{&l.Certificate, 24 * time.Hour},
		{&l.Sheet, area.SheetLife},
		{&l.Delegation, area.DelegationLife},
	} {
		if *f.field <= 0 {
			*f.field = f.def
		}
	}
	return l
}

// reissue signs a new roster and, if it would say something else, a new sheet.
func (s *state) reissue(key crypto.PrivKey, now time.Time, lives Lives) error {
	if err := s.issueRoster(key, now, lives); err != nil {
		return err
	}
	return s.issueSheet(key, now, lives, false)
}

func (s *state) issueRoster(key crypto.PrivKey, now time.Time, lives Lives) error {
	r := roster.Roster{
		Area:         s.Area,
		Sequence:     s.RosterSeq + 1,
		IssuedAt:     now.Unix(),
		NotAfter:     now.Add(lives.Roster).Unix(),
		Epoch:        s.Epoch,
		ManagerAddrs: s.Addrs,
		LocalTariff:  s.Local.Sealed,
		ExportTariff: s.Export.Sealed,
	}
	for _, c := range s.Clearinghouses {
		r.Clearinghouses = append(r.Clearinghouses, c.peer())
	}
	for _, m := range s.Members {
		r.Members = append(r.Members, roster.Member{
			Key: m.Key, Roles: m.Roles, Name: m.Name, Seed: [20]byte(m.Seed), Addrs: m.Addrs, Since: m.Since,
		})
	}
	slices.SortFunc(r.Members, func(a, b roster.Member) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	signed, err := sealed.Seal(key, r)
	if err != nil {
		return fmt.Errorf("signing roster: %w", err)
	}
	s.RosterSeq++
	s.Roster = signed.Bytes
	return nil
}

// issueSheet signs a new contact sheet if the newest says something else, is past
// half of its life, or again is set.
func (s *state) issueSheet(key crypto.PrivKey, now time.Time, lives Lives, again bool) error {
	sheet, err := s.sheet()
	if err != nil {
		return err
	}
	if !again && len(s.Sheet) != 0 {
		info, err := s.record().Open(s.Area, now)
		if err == nil && sameSheet(info.Sheet, sheet) && info.NotAfter.Sub(now) > min(lives.Sheet/2, lives.Delegation/4) {
			return nil
		}
	}
	b, err := area.NewSheet(key, sheet, s.SheetSeq+1, now, lives.Sheet)
	if err != nil {
		return fmt.Errorf("signing contact sheet: %w", err)
	}
	s.SheetSeq++
	s.Sheet = b
	return nil
}

func sameSheet(a, b area.Sheet) bool {
	x, errX := a.Marshal()
	y, errY := b.Marshal()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// sheet is the contact sheet as it ought to be. Sheets are small: when everything
// does not fit, addresses go first, then the contact points that came last.
func (s *state) sheet() (area.Sheet, error) {
	contacts := make([]p2p.Peer, 0, len(s.Members))
	for _, m := range s.Members {
		if m.Roles.Has(roster.Contact) && len(m.Addrs) > 0 {
			contacts = append(contacts, p2p.Peer{Key: m.Key, Addrs: m.Addrs})
		}
	}
	houses := make([]p2p.Peer, 0, len(s.Clearinghouses))
	for _, c := range s.Clearinghouses {
		houses = append(houses, c.peer())
	}
	houses = houses[:min(len(houses), area.MaxClearinghouses)]
	contacts = contacts[:min(len(contacts), area.MaxContacts)]
	for addrs := 4; ; {
		sheet := area.Sheet{
			Name:           s.Name,
			Contacts:       trim(contacts, addrs),
			Clearinghouses: trim(houses, addrs),
			Tariff:         s.Export.Sealed,
			Epoch:          s.Epoch,
		}
		_, err := sheet.Marshal()
		switch {
		case err == nil:
			return sheet, nil
		case addrs > 1:
			addrs--
		case len(contacts) > 1:
			contacts = contacts[:len(contacts)-1]
		default:
			return area.Sheet{}, fmt.Errorf("writing contact sheet: %w", err)
		}
	}
}

func trim(peers []p2p.Peer, addrs int) []p2p.Peer {
	var out []p2p.Peer
	for _, p := range peers {
		out = append(out, p2p.Peer{Key: p.Key, Addrs: p.Addrs[:min(len(p.Addrs), addrs)]})
	}
	return out
}

func (s *state) record() area.Record { return area.Record{Delegation: s.Delegation, Sheet: s.Sheet} }
