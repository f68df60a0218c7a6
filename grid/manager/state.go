package manager

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/durable"
)

const (
	schema        = 1
	maxStateBytes = 64 << 20
	stateFile     = "state.json"
)

// state is what a manager must not forget. Slices inside elements are never
// changed in place, so copying the outer slices is a copy.
type state struct {
	Schema   int            `json:"schema"`
	Name     string         `json:"name"`
	Area     caps.AreaCode  `json:"area"`
	Delegate caps.PublicKey `json:"delegate"`
	Created  time.Time      `json:"created"`

	// The newest of each, as it was handed out, so that a restart hands out the same.
	Delegation    []byte `json:"delegation"`
	DelegationSeq uint64 `json:"delegation_sequence"`
	Roster        []byte `json:"roster"`
	RosterSeq     uint64 `json:"roster_sequence"`
	Sheet         []byte `json:"sheet"`
	SheetSeq      uint64 `json:"sheet_sequence"`
	TariffSeq     uint64 `json:"tariff_sequence"`
	// Epoch grows with each revocation.
	Epoch uint64 `json:"epoch"`
	// Serials of certificates below this are spent, or were set aside by a run
	// that ended early.
	SerialsBelow uint64 `json:"serials_below"`

	Members        []member       `json:"members"`
	Revoked        []revoked      `json:"revoked"`
	Tickets        []ticket       `json:"tickets"`
	Clearinghouses []subscription `json:"clearinghouses"`
	Addrs          []string       `json:"addrs"`

	Local  tariff `json:"local_tariff"`
	Export tariff `json:"export_tariff"`

	Currency   string          `json:"currency"`
	CreditLine billing.Credits `json:"credit_line"`
}

type member struct {
	Key   caps.PublicKey `json:"key"`
	Roles roster.Role    `json:"roles"`
	Name  string         `json:"name"`
	Seed  []byte         `json:"seed"`
	Addrs []string       `json:"addrs,omitempty"`
	Since int64          `json:"since"`
}

type revoked struct {
	Key  caps.PublicKey `json:"key"`
	Name string         `json:"name"`
	At   int64          `json:"at"`
}

type ticket struct {
	Hash    []byte           `json:"hash"` // of the secret; see roster.Secret.Hash
	Roles   roster.Role      `json:"roles"`
	Name    string           `json:"name"` // for members that join without one
	Expires int64            `json:"expires"`
	Uses    int              `json:"uses"` // in all
	UsedBy  []caps.PublicKey `json:"used_by"`
}

type subscription struct {
	Key   caps.PublicKey `json:"key"`
	Addrs []string       `json:"addrs"`
}

func (s subscription) peer() p2p.Peer { return p2p.Peer{Key: s.Key, Addrs: slices.Clone(s.Addrs)} }

type tariff struct {
	Terms  Terms  `json:"terms"`
	Sealed []byte `json:"sealed"`
}

func (s *state) clone() *state {
	c := *s
	c.Members = slices.Clone(s.Members)
	c.Revoked = slices.Clone(s.Revoked)
	c.Tickets = slices.Clone(s.Tickets)
	c.Clearinghouses = slices.Clone(s.Clearinghouses)
	return &c
}

func (s *state) member(key caps.PublicKey) int {
	return slices.IndexFunc(s.Members, func(m member) bool { return m.Key == key })
}

func (s *state) revoked(key caps.PublicKey) bool {
	return slices.ContainsFunc(s.Revoked, func(r revoked) bool { return r.Key == key })
}

// save puts the state on disk. When it fails, nothing may be handed out that
// depends on it.
func (s *state) save(dir string) error {
	return durable.WriteState(filepath.Join(dir, stateFile), s)
}

func loadState(dir string) (*state, error) {
	var s state
	err := durable.ReadState(filepath.Join(dir, stateFile), maxStateBytes, schema, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoGrid
	}
	return &s, err
}
