package clearinghouse

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, stateFile), b); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}

func loadState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	if info.Size() > maxStateBytes {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrState, info.Size())
	}
	b, err := os.ReadFile(path) //nolint:gosec // G304: the folder is the operator's own
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.Schema != schema {
		return nil, fmt.Errorf("%w: it has schema %d, this program knows %d", ErrState, s.Schema, schema)
	}
	return &s, nil
}

// same reports whether nothing that changes is different.
func (s *state) same(t *state) bool {
	return s.Open == t.Open && s.Line == t.Line && slices.Equal(s.Requests, t.Requests)
}
