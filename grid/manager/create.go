package manager

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/p2p/area"
	"trunkline/p2p/keyfile"
)

const (
	gridKeyFile = "grid.key"
	hostKeyFile = "manager.key"
)

// CreateConfig describes a new grid.
type CreateConfig struct {
	// Dir is made if it is missing; it must not have a grid in it.
	Dir string
	// Name is how the grid calls itself, at most 64 bytes; everybody may see it.
	Name string
	// Currency is what tariffs and accounts are in, 1 to 8 of A-Z and 0-9; default
	// CREDIT. It never changes.
	Currency string
	// CreditLine is what each new member may owe; default 100. It can be changed
	// for each member.
	CreditLine billing.Credits
	// Local and Export are the first tariffs. Zero Terms cost nothing, but are
	// metered and need an approval.
	Local, Export Terms
	Now           func() time.Time // default time.Now
}

// DefaultCurrency and DefaultCreditLine are what a new grid has unless told
// otherwise.
const (
	DefaultCurrency   = "CREDIT"
	DefaultCreditLine = 100 * billing.Unit
)

// Create makes a grid: its keys, its first delegation, tariffs and an empty
// roster. It returns the area code.
//
// The grid key ends up in grid.key; keep a copy of that file somewhere safe, and
// move the file away if the manager's machine is not to have it. Without it, the
// grid can be run until the delegation ends.
//
// Errors: ErrExists, ErrArgument.
func Create(cfg CreateConfig) (caps.AreaCode, error) {
	var none caps.AreaCode
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Currency == "" {
		cfg.Currency = DefaultCurrency
	}
	if cfg.CreditLine == 0 {
		cfg.CreditLine = DefaultCreditLine
	}
	if cfg.CreditLine < 0 {
		return none, fmt.Errorf("%w: credit line %s", ErrArgument, cfg.CreditLine)
	}
	if _, err := (area.Sheet{Name: cfg.Name}).Marshal(); err != nil {
		return none, fmt.Errorf("%w: name: %w", ErrArgument, err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return none, fmt.Errorf("making folder: %w", err)
	}
	for _, f := range []string{stateFile, gridKeyFile, hostKeyFile} {
		if _, err := os.Lstat(filepath.Join(cfg.Dir, f)); !errors.Is(err, fs.ErrNotExist) {
			return none, fmt.Errorf("%s: %w", filepath.Join(cfg.Dir, f), ErrExists)
		}
	}
	gridKey, gridID, err := keyfile.Generate()
	if err != nil {
		return none, err
	}
	hostKey, hostID, err := keyfile.Generate()
	if err != nil {
		return none, err
	}
	now := cfg.Now()
	s := &state{
		Schema:        schema,
		Name:          cfg.Name,
		Area:          caps.NewAreaCode(gridID),
		Delegate:      hostID,
		Created:       now.UTC().Truncate(time.Second),
		DelegationSeq: 1,
		Currency:      cfg.Currency,
		CreditLine:    cfg.CreditLine,
	}
	if s.Delegation, err = area.NewDelegation(gridKey, hostID, s.DelegationSeq, now, area.DelegationLife); err != nil {
		return none, fmt.Errorf("signing delegation: %w", err)
	}
	if err := s.issueTariff(hostKey, &s.Local, cfg.Local, now); err != nil {
		return none, err
	}
	if err := s.issueTariff(hostKey, &s.Export, cfg.Export, now); err != nil {
		return none, err
	}
	if err := s.reissue(hostKey, now, Lives{}.withDefaults()); err != nil {
		return none, err
	}
	// The state file comes last: without it there is no grid, and keys that a crash
	// left behind stop a second attempt until somebody has looked at them.
	if err := keyfile.Write(filepath.Join(cfg.Dir, gridKeyFile), gridKey); err != nil {
		return none, err
	}
	if err := keyfile.Write(filepath.Join(cfg.Dir, hostKeyFile), hostKey); err != nil {
		return none, err
	}
	if err := s.save(cfg.Dir); err != nil {
		return none, err
	}
	return s.Area, nil
}
