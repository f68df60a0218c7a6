package manager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p/area"
	"trunkline/p2p/keyfile"
)

// warnBefore is how long before its end a delegation that will not renew itself is
// complained about.
const warnBefore = 10 * 24 * time.Hour

// renewDelegation signs the next delegation when the newest is past half of its
// life and the grid key is there.
func (m *Manager) renewDelegation(s *state, now time.Time) (bool, error) {
	d, err := area.OpenDelegation(s.Area, s.Delegation, now)
	if err == nil && d.NotAfter.Sub(now) > m.cfg.Lives.Delegation/2 {
		return false, nil
	}
	switch err := m.delegate(s, now); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil // Status and the log say so in time
	case err != nil:
		return false, err
	}
	return true, nil
}

// delegate signs the next delegation into s. Errors: fs.ErrNotExist without the
// grid key's file.
func (m *Manager) delegate(s *state, now time.Time) error {
	key, err := keyfile.Read(m.cfg.GridKey, s.Area.Key())
	if err != nil {
		return err
	}
	b, err := area.NewDelegation(key, s.Delegate, s.DelegationSeq+1, now, m.cfg.Lives.Delegation)
	if err != nil {
		return fmt.Errorf("signing delegation: %w", err)
	}
	s.DelegationSeq++
	s.Delegation = b
	return nil
}

// RenewDelegation signs a new delegation now, with the grid key's file in its place.
// Errors: ErrNoGridKey; keyfile.ErrKey.
func (m *Manager) RenewDelegation(ctx context.Context) (Status, error) {
	err := m.change(ctx, func(s *state) error {
		err := m.delegate(s, m.cfg.Now())
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: put its file at %s, or sign elsewhere and install the result", ErrNoGridKey, m.cfg.GridKey)
		}
		return err
	})
	if err != nil {
		return Status{}, err
	}
	return m.Status(), nil
}

// SignDelegation signs, on a machine that has the grid key and nothing else, a
// delegation for a manager's key, to be carried over and given to
// [Manager.InstallDelegation]. sequence must be higher than the grid's last
// (see [Status]).
func SignDelegation(gridKeyFile string, code caps.AreaCode, delegate caps.PublicKey, sequence uint64, now time.Time, life time.Duration) ([]byte, error) {
	key, err := keyfile.Read(gridKeyFile, code.Key())
	if err != nil {
		return nil, err
	}
	if life <= 0 {
		life = area.DelegationLife
	}
	b, err := area.NewDelegation(key, delegate, sequence, now, life)
	if err != nil {
		return nil, fmt.Errorf("signing delegation: %w", err)
	}
	return b, nil
}

// InstallDelegation takes a delegation that was signed elsewhere. It must name this
// manager's key and have a higher number than the last.
func (m *Manager) InstallDelegation(ctx context.Context, b []byte) (Status, error) {
	err := m.change(ctx, func(s *state) error {
		d, err := roster.OpenDelegation(s.Area, b, m.cfg.Now())
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrArgument, err)
		case d.Delegate != s.Delegate:
			return fmt.Errorf("%w: the delegation is for %s, this manager is %s", ErrArgument, d.Delegate, s.Delegate)
		case d.Sequence <= s.DelegationSeq:
			return fmt.Errorf("%w: delegation %d, but %d is in use", ErrArgument, d.Sequence, s.DelegationSeq)
		}
		s.Delegation, s.DelegationSeq = b, d.Sequence
		return nil
	})
	if err != nil {
		return Status{}, err
	}
	return m.Status(), nil
}

// Status is how a grid stands.
type Status struct {
	Area          caps.AreaCode  `json:"area"`
	Name          string         `json:"name"`
	Manager       caps.PublicKey `json:"manager"`
	Currency      string         `json:"currency"`
	Members       int            `json:"members"`
	Roster        uint64         `json:"roster"`
	RosterEnd     time.Time      `json:"roster_end"`
	Epoch         uint64         `json:"epoch"`
	Sheet         uint64         `json:"sheet"`
	Delegation    uint64         `json:"delegation"`
	DelegationEnd time.Time      `json:"delegation_end"`
	// GridKey tells whether the grid key is on this machine.
	GridKey bool `json:"grid_key"`
	// Published is when the area record last got to somebody; zero if never.
	Published time.Time `json:"published,omitzero"`
	// Warnings are for the operator, one sentence each.
	Warnings []string `json:"warnings,omitempty"`
}

// Status tells how the grid stands.
func (m *Manager) Status() Status {
	s, now := m.state(), m.cfg.Now()
	out := Status{
		Area: s.Area, Name: s.Name, Manager: s.Delegate, Currency: s.Currency, Members: len(s.Members),
		Roster: s.RosterSeq, Epoch: s.Epoch, Sheet: s.SheetSeq, Delegation: s.DelegationSeq, GridKey: m.gridKeyPresent(),
	}
	m.mu.Lock()
	out.Published = m.published.at
	m.mu.Unlock()
	if snap := m.open.Load(); snap.err == nil {
		out.RosterEnd = snap.v.NotAfter().UTC()
		out.DelegationEnd = snap.v.Delegation.NotAfter.UTC()
	}
	switch {
	case out.DelegationEnd.IsZero() || now.After(out.DelegationEnd):
		out.Warnings = append(out.Warnings, "the delegation has ended and nobody serves this grid any more; put the grid key in place and renew the delegation")
	case !out.GridKey && out.DelegationEnd.Sub(now) < warnBefore:
		out.Warnings = append(out.Warnings, fmt.Sprintf("the delegation ends %s and the grid key is offline; renew the delegation before then", out.DelegationEnd.Format(time.RFC3339)))
	}
	return out
}

// warn repeats Status' warnings in the log, once a day.
func (m *Manager) warn(ctx context.Context) {
	now := m.cfg.Now()
	m.mu.Lock()
	quiet := now.Before(m.published.warnAt)
	m.mu.Unlock()
	if quiet {
		return
	}
	for _, w := range m.Status().Warnings {
		m.cfg.Logger.WarnContext(ctx, "grid needs attention", "area_code", m.Area().String(), "reason", w)
		m.mu.Lock()
		m.published.warnAt = now.Add(24 * time.Hour)
		m.mu.Unlock()
	}
}
