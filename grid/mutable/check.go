package mutable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// verifyBytes is about how much of a share is read at a time to verify it.
const verifyBytes = 4 << 20

// CheckOptions say how thoroughly to check, and whether to renew leases, as for immutable files.
type CheckOptions = transfer.CheckOptions

// Check asks all servers for the shares of a file. That a file is not there, or unhealthy, is no error.
//
// Errors: ctx's error.
func (f *Files) Check(ctx context.Context, v caps.MutableVerify, opts CheckOptions) (transfer.Health, error) {
	s := f.survey(ctx, v)
	defer s.end()
	if err := s.await(ctx, func() time.Duration {
		return s.patientIf(2*len(s.picture(nil).answered) >= len(s.peers))
	}); err != nil {
		return transfer.Health{}, err
	}
	s.mu.Lock()
	p := s.picture(nil)
	s.mu.Unlock()
	s.inspect(ctx, p, opts.Verify)
	if opts.AddLease != nil {
		s.lease(ctx, p, *opts.AddLease)
	}
	if err := ctx.Err(); err != nil {
		return transfer.Health{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health(s.picture(nil)), nil
}

// inspect verifies the shares of a picture: their hash chains, and every byte if all is set. One share at a time of each server.
func (s *survey) inspect(ctx context.Context, p *picture, all bool) {
	var wg sync.WaitGroup
	for _, peer := range p.answered {
		wg.Go(func() {
			for _, src := range peer.sources {
				s.mu.Lock()
				skip := src.bad != nil || src.failed
				s.mu.Unlock()
				if skip {
					continue
				}
				err := s.prove(ctx, src)
				if err == nil && all {
					err = s.verifyShare(ctx, src)
				}
				if err != nil && ctx.Err() == nil {
					s.reject(src, err)
				}
			}
		})
	}
	wg.Wait()
}

// verifyShare reads all of a share. Its hash chain was verified.
func (s *survey) verifyShare(ctx context.Context, src *source) error {
	h := src.head.Header
	s.mu.Lock()
	share := src.share
	s.mu.Unlock()
	parts, err := s.fetch(ctx, src, src.head.PrivateKey(), src.head.BlockTree())
	if err != nil {
		return err
	}
	if h.Segments() > 0 {
		if err := share.Learn(ssk.Nodes(0, parts[1])); err != nil {
			return err
		}
	}
	per := max(1, verifyBytes/max(h.EntryLen(0), 1))
	for first := 0; first < h.Segments(); first += per {
		count := min(per, h.Segments()-first)
		begin, last := src.head.Entry(first), src.head.Entry(first+count-1)
		parts, err := s.fetch(ctx, src, ssk.Section{Offset: begin.Offset, Length: last.Offset + last.Length - begin.Offset})
		if err != nil {
			return err
		}
		data := parts[0]
		for seg := first; seg < first+count; seg++ {
			n := h.EntryLen(seg)
			if err := share.Check(seg, data[:n], nil); err != nil {
				return err
			}
			data = data[n:]
		}
	}
	return nil
}

// lease adds or renews the client's leases wherever there are shares.
func (s *survey) lease(ctx context.Context, p *picture, secret [32]byte) {
	var wg sync.WaitGroup
	for _, peer := range p.answered {
		if len(peer.sources) == 0 {
			continue
		}
		wg.Go(func() {
			renew, cancel := caps.LeaseSecrets(secret, s.v.StorageIndex, peer.server.PeerID20())
			limited, done := context.WithTimeout(ctx, s.f.cfg.Timeout)
			defer done()
			if err := peer.server.AddLease(limited, s.v.StorageIndex, renew, cancel); err != nil {
				s.f.cfg.Logger.Warn("lease not renewed", "peer_id", peer.server.Key().String(), "error", err)
			}
		})
	}
	wg.Wait()
}

// health is what a picture comes to. It needs the lock.
func (s *survey) health(p *picture) transfer.Health {
	h := transfer.Health{Cap: s.v.Cap(), Good: make(map[int][]caps.PublicKey)}
	for _, v := range p.versions {
		found := transfer.VersionHealth{
			Seq: v.header.Seq, Root: v.header.Root, Needed: v.header.K, Shares: make(map[int][]caps.PublicKey),
		}
		for num, sources := range v.shares {
			for _, src := range sources {
				found.Shares[num] = append(found.Shares[num], src.peer.server.Key())
			}
		}
		h.Versions = append(h.Versions, found)
		if h.Needed == 0 && v.recoverable() {
			h.Needed, h.Expected = v.header.K, v.header.N
			h.Good, h.Happiness = found.Shares, v.happiness()
		}
	}
	for _, peer := range p.answered {
		h.Responded = append(h.Responded, peer.server.Key())
		for _, src := range peer.sources {
			switch {
			case src.bad != nil:
				h.Corrupt = append(h.Corrupt, transfer.Located{Server: peer.server.Key(), Num: src.num, Reason: src.bad})
			case src.failed:
				i := slices.IndexFunc(s.blamed, func(b transfer.Blame) bool {
					return b.Server == peer.server.Key() && b.Share == src.num
				})
				if i >= 0 {
					h.Failed = append(h.Failed, s.blamed[i])
				}
			}
		}
	}
	for _, peer := range p.silent {
		err := peer.err
		if err == nil {
			err = errSilent
		}
		h.Failed = append(h.Failed, transfer.Blame{Server: peer.server.Key(), Share: -1, Reason: err})
	}
	return h
}

// Repair checks a file, and unless it is healthy publishes its newest recoverable version anew, as the next one, with every
// share. Parts of newer versions that cannot be recovered with the servers that answer are given up. after is a check of the same
// kind afterwards; if nothing was done it equals before.
//
// Errors: those of Overwrite.
func (f *Files) Repair(ctx context.Context, write caps.Cap, opts CheckOptions) (before, after transfer.Health, err error) {
	v, ok := write.MutableVerify()
	if _, writes := write.WriteKey(); !ok || !writes {
		return before, after, ErrNoWriteCap
	}
	before, err = f.Check(ctx, v, opts)
	if err != nil || before.Healthy() {
		return before, before, err
	}
	if err := f.republish(ctx, write); err != nil {
		return before, before, err
	}
	after, err = f.Check(ctx, v, opts)
	return before, after, err
}

// republish publishes the newest recoverable version anew.
func (f *Files) republish(ctx context.Context, write caps.Cap) error {
	o, unlock, err := f.begin(ctx, write)
	if err != nil {
		return err
	}
	defer unlock()
	o.force = true
	w, err := o.look(ctx)
	if err != nil {
		return err
	}
	defer w.s.end()
	if w.base == nil {
		return o.gone(w)
	}
	contents, _, err := o.contents(ctx, w)
	if err != nil {
		return err
	}
	_, err = o.publish(ctx, w, change{src: bytes.NewReader(contents), size: uint64(len(contents)), all: true})
	if errors.Is(err, errConflict) {
		return fmt.Errorf("repairing: %w", ErrUncoordinated)
	}
	return err
}
