package mutable

import (
	"context"
	"sync"
	"time"

	"trunkline/grid/ssk"
)

// keyRest is how long making keys rests while some are ready, so that it takes little from what else goes on.
const keyRest = 300 * time.Millisecond

// KeyPool keeps RSA keys ready for new files, as making one takes a good part of a second. Safe for concurrent use.
type KeyPool struct {
	ready  chan *ssk.Keys
	failed chan error
	wanted chan struct{}   // somebody found none ready
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewKeyPool keeps n pairs ready, at least one, and makes them one at a time in the background until it is closed: the
// first at once, and so whenever none is ready; the others at leisure.
func NewKeyPool(n int) *KeyPool {
	p := &KeyPool{ready: make(chan *ssk.Keys, max(n, 1)-1), failed: make(chan error), wanted: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.run)
	return p
}

// run holds one pair in its hands besides those in the channel.
func (p *KeyPool) run() {
	for p.ctx.Err() == nil {
		if len(p.ready) > 0 {
			p.rest()
		}
		keys, err := ssk.GenerateKeys()
		if err != nil {
			select {
			case p.failed <- err:
			case <-p.ctx.Done():
			}
			continue
		}
		select {
		case p.ready <- keys:
		case <-p.ctx.Done():
		}
	}
}

// rest ends early where somebody waits for a pair, and with the pool.
func (p *KeyPool) rest() {
	timer := time.NewTimer(keyRest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.wanted:
	case <-p.ctx.Done():
	}
}

// Take is a pair that nobody else gets. It waits for one if none is ready.
//
// Errors: ErrClosed, ctx's error.
func (p *KeyPool) Take(ctx context.Context) (*ssk.Keys, error) {
	if p.ctx.Err() != nil {
		return nil, ErrClosed
	}
	select {
	case keys := <-p.ready:
		return keys, nil
	default:
	}
	select {
	case p.wanted <- struct{}{}:
	default: // it is known
	}
	select {
	case keys := <-p.ready:
		return keys, nil
	case err := <-p.failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.ctx.Done():
		return nil, ErrClosed
	}
}

// Close ends the making of keys and waits for it.
func (p *KeyPool) Close() error {
	p.cancel()
	p.wg.Wait()
	return nil
}
