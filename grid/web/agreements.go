package web

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"trunkline/caps"
	"trunkline/p2p/durable"
)

// Agreements remember for which areas a person agreed to pay. They are safe for
// concurrent use.
type Agreements interface {
	Has(caps.AreaCode) bool
	// Add returns when the area is remembered for as long as can be.
	Add(caps.AreaCode) error
}

// Bounds of the file that agreements are kept in.
const (
	maxAgreed      = 4096
	maxAgreedBytes = 1 << 20
	agreedSchema   = 1
)

// agreed keeps agreements in memory, and in a file if it has one.
type agreed struct {
	path string // "" for none

	mu    sync.Mutex
	state agreedState
}

type agreedState struct {
	Schema int             `json:"schema"`
	Areas  []caps.AreaCode `json:"areas"` // oldest first
}

// OpenAgreements keeps agreements in a file, which may be missing yet.
//
// Errors: durable.ErrState if the file is damaged; those of the disk.
func OpenAgreements(path string) (Agreements, error) {
	a := &agreed{path: path}
	if err := durable.ReadState(path, maxAgreedBytes, agreedSchema, &a.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading which areas may cost money: %w", err)
	}
	return a, nil
}

// Has implements Agreements.
func (a *agreed) Has(c caps.AreaCode) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.state.Areas, c)
}

// Add implements Agreements. Of very many the oldest is forgotten, and asked
// about again.
func (a *agreed) Add(c caps.AreaCode) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.state.Areas, c) {
		return nil
	}
	next := agreedState{Schema: agreedSchema, Areas: append(slices.Clone(a.state.Areas), c)}
	if over := len(next.Areas) - maxAgreed; over > 0 {
		next.Areas = next.Areas[over:]
	}
	if a.path != "" {
		if err := durable.WriteState(a.path, next); err != nil {
			return fmt.Errorf("keeping which areas may cost money: %w", err)
		}
	}
	a.state = next
	return nil
}
