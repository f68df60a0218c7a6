package clearinghouse

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/p2p/durable"
)

const (
	schema        = 1
	stateFile     = "state.json"
	keyFile       = "clearinghouse.key"
	ledgerFile    = "ledger.sqlite"
	areasDir      = "areas"
	maxStateBytes = 16 << 20
)

// state is what is not in the ledger.
type state struct {
	Schema   int             `json:"schema"`
	Name     string          `json:"name"`
	Key      caps.PublicKey  `json:"key"`
	Created  time.Time       `json:"created"`
	Currency string          `json:"currency"`
	Open     bool            `json:"open"`
	Line     billing.Credits `json:"credit_line"` // of grids that are admitted at once
	Requests []request       `json:"requests"`    // oldest first
}

// request is a grid that waits for the operator.
type request struct {
	Area     caps.AreaCode  `json:"area"`
	Delegate caps.PublicKey `json:"delegate"`
	Name     string         `json:"name"`
	At       int64          `json:"at"`
}

func (s *state) clone() *state {
	c := *s
	c.Requests = slices.Clone(s.Requests)
	return &c
}

func (s *state) request(area caps.AreaCode) int {
	return slices.IndexFunc(s.Requests, func(r request) bool { return r.Area == area })
}

func (s *state) save(dir string) error {
	return durable.WriteState(filepath.Join(dir, stateFile), s)
}

func loadState(dir string) (*state, error) {
	var s state
	err := durable.ReadState(filepath.Join(dir, stateFile), maxStateBytes, schema, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	return &s, err
}

// same reports whether nothing that changes is different.
func (s *state) same(t *state) bool {
	return s.Open == t.Open && s.Line == t.Line && slices.Equal(s.Requests, t.Requests)
}
