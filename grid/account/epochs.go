package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"trunkline/caps"
	"trunkline/p2p/durable"
)

const maxEpochsFile = 1 << 20

// Epochs remembers the highest revocation epoch seen of each approver and refuses
// approvals with a lower one, also after a restart. Safe for concurrent use.
type Epochs struct {
	path string // empty: memory only

	mu      sync.Mutex
	highest map[caps.PublicKey]uint64
}

// OpenEpochs reads the file at path, which may not exist yet; with an empty path
// nothing is kept between runs. known are approvers to ask about from the start.
func OpenEpochs(path string, known ...caps.PublicKey) (*Epochs, error) {
	e := &Epochs{path: path, highest: make(map[caps.PublicKey]uint64)}
	if path != "" {
		b, err := durable.ReadFile(path, maxEpochsFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("reading epochs: %w", err)
		default:
			if err := json.Unmarshal(b, &e.highest); err != nil {
				return nil, fmt.Errorf("reading epochs: %w", err)
			}
		}
	}
	for _, k := range known {
		if _, ok := e.highest[k]; !ok {
			e.highest[k] = 0
		}
	}
	return e, nil
}

// Known lists the approvers that epochs are kept of.
func (e *Epochs) Known() []caps.PublicKey {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]caps.PublicKey, 0, len(e.highest))
	for k := range e.highest {
		out = append(out, k)
	}
	return out
}

// Observe takes note of an epoch; lower ones than seen before change nothing. A
// higher one is on disk when it returns nil.
func (e *Epochs) Observe(approver caps.PublicKey, epoch uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if had, ok := e.highest[approver]; ok && epoch <= had {
		return nil
	}
	e.highest[approver] = epoch
	if e.path == "" {
		return nil
	}
	b, err := json.Marshal(e.highest)
	if err != nil {
		return fmt.Errorf("writing epochs: %w", err)
	}
	return durable.WriteFile(e.path, b)
}

// Check refuses an approval of a lower epoch than was seen of its approver, and
// takes note of a higher one: its signature, checked before, vouches for it.
// Error: ErrEpoch.
func (e *Epochs) Check(approver caps.PublicKey, epoch uint64) error {
	e.mu.Lock()
	had := e.highest[approver]
	e.mu.Unlock()
	if epoch < had {
		return fmt.Errorf("epoch %d, now %d: %w", epoch, had, ErrEpoch)
	}
	return e.Observe(approver, epoch)
}
