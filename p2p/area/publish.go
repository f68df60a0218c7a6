package area

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/p2p"
)

// Published counts where a record went.
type Published struct {
	Keys        int // DHT keys, of 2 × Replicas
	Directories int
}

// Publish spreads a record of area: into the cache, under every DHT key of
// both layers, and to every directory. It looks first whether a newer contact
// sheet is out already, since a DHT node that never saw the newer one would
// take the older without a word; then the error is [ErrRollback]. A newer
// delegation that is out is joined with the sheet. Publish succeeds if the
// record got to anybody.
func (r *Resolver) Publish(ctx context.Context, area caps.AreaCode, record Record) (Published, error) {
	out, err := r.publish(ctx, area, record)
	if err != nil {
		return out, fmt.Errorf("publishing area %s: %w", area, err)
	}
	return out, nil
}

func (r *Resolver) publish(ctx context.Context, area caps.AreaCode, record Record) (Published, error) {
	if _, _, err := r.config.Cache.Put(area, record); err != nil {
		return Published{}, err
	}
	// It does not matter that nobody may know the area yet.
	_, _ = r.run(ctx, area, nil, nil)
	newest, err := r.config.Cache.Get(area)
	if err != nil {
		return Published{}, err
	}
	if !bytes.Equal(newest.Record.Sheet, record.Sheet) {
		return Published{}, fmt.Errorf("delegation %d with contact sheet %d is already out: %w", newest.DelegationSeq, newest.SheetSeq, ErrRollback)
	}
	return r.spread(ctx, newest)
}

// spread puts a record everywhere at once.
func (r *Resolver) spread(ctx context.Context, info Info) (Published, error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		out  Published
		errs []error
	)
	count := func(err error, n *int) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, err)
			return
		}
		*n++
	}
	if dht := r.config.DHT; dht != nil {
		for i := range Replicas {
			wg.Go(func() { count(dht.PutRecord(ctx, RecordKey(i, info.Area.Key()), info.Record.Delegation), &out.Keys) })
			wg.Go(func() { count(dht.PutRecord(ctx, RecordKey(i, info.Delegate), info.Record.Sheet), &out.Keys) })
		}
	}
	for _, d := range r.config.Directories() {
		wg.Go(func() { count(Offer(ctx, r.config.Host, d, info.Area, info.Record), &out.Directories) })
	}
	wg.Wait()
	switch {
	case out != Published{}:
		return out, nil
	case len(errs) == 0:
		return out, fmt.Errorf("%w: neither a DHT nor a directory is configured", ErrNoAnswer)
	default:
		return out, fmt.Errorf("%w: %w", ErrNoAnswer, errs[0])
	}
}

// Republish keeps the record of area alive until ctx ends, and returns
// ctx.Err(): it looks for a newer one and spreads the newest, at once and
// every RepublishEvery, and sooner after a failure. Managers, contact points
// and gateways run it for their own grid.
func (r *Resolver) Republish(ctx context.Context, area caps.AreaCode) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ctx.Done():
			return p2p.ErrClosed
		case <-timer.C:
		}
		pause := r.config.RepublishEvery
		if out, err := r.republish(ctx, area); err != nil {
			pause = r.config.RetryAfter
			if ctx.Err() == nil {
				r.config.Logger.Warn("republishing area record", "area_code", area.String(), "error", err)
			}
		} else {
			r.config.Logger.Debug("area record republished", "area_code", area.String(),
				"dht_keys", out.Keys, "directories", out.Directories)
		}
		timer.Reset(pause)
	}
}

func (r *Resolver) republish(ctx context.Context, area caps.AreaCode) (Published, error) {
	info, err := r.run(ctx, area, nil, nil)
	if err != nil {
		// Nobody else has it: what we have ourselves may still be good.
		var cached error
		if info, cached = r.config.Cache.Get(area); cached != nil {
			return Published{}, errors.Join(err, cached)
		}
	}
	return r.spread(ctx, info)
}
