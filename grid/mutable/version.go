package mutable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// Version is one version of a mutable file, open for reading its ciphertext. Safe for concurrent use.
type Version struct {
	s       *survey
	proof   *signed
	blockAt int // bytes of the largest entry
}

// open waits for what a reader has to know and picks the newest recoverable version; any takes one older than seen before too.
//
// An acknowledged version is on Happy servers, so of all but Happy-1 one at least shows that it is there: so many must have
// answered before an older version is taken for the newest, unless the others are silent.
func (f *Files) open(ctx context.Context, v caps.MutableVerify, any bool) (*Version, error) {
	s := f.survey(ctx, v)
	seen, _, _ := f.cfg.Seen.Newest(v.StorageIndex)
	least := max(len(s.peers)-f.cfg.Happy+1, 1)
	for {
		err := s.await(ctx, func() time.Duration {
			p := s.picture(nil)
			newest := p.newest()
			patience := s.patientIf(newest != nil && newest.header.Seq >= seen)
			if patience > 0 && len(p.answered) >= least && !p.rivals(newest) {
				return patience / briefly
			}
			return patience
		})
		if err != nil {
			s.end()
			return nil, err
		}
		s.mu.Lock()
		p := s.picture(nil)
		s.mu.Unlock()
		newest := p.newest()
		if newest == nil {
			found, need := p.best()
			err := s.tooFew(found, need)
			s.end()
			return nil, err
		}
		if !s.sound(ctx, newest) {
			if ctx.Err() != nil {
				s.end()
				return nil, ctx.Err()
			}
			continue // some were bad, and what is newest is asked again
		}
		h := newest.header
		if h.Seq < seen && !any {
			err := &RollbackError{Found: h.Seq, Seen: seen, Blamed: s.blames()}
			s.end()
			return nil, err
		}
		if p.newerThan(newest) {
			f.cfg.Logger.Warn("a newer version is only partly there", "storage_index", v.StorageIndex.String(), "sequence", h.Seq)
		}
		f.cfg.Seen.Note(v.StorageIndex, h.Seq, h.Root)
		return s.version(h), nil
	}
}

// version opens a version that the survey has found.
func (s *survey) version(h ssk.Header) *Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.proofs, func(p *signed) bool { return p.header == h })
	return &Version{s: s, proof: s.proofs[i], blockAt: h.EntryLen(0)}
}

// sound verifies the hash chains of enough shares of a version, so that servers which made up a share are known before the
// version is relied on. It reports false if a share turned out bad and it is not known yet whether enough are left.
func (s *survey) sound(ctx context.Context, v *version) bool {
	type outcome struct {
		src *source
		err error
	}
	proven := make(map[int]bool)
	var todo []*source
	s.mu.Lock()
	for num, sources := range v.shares {
		for _, src := range sources {
			if src.share != nil {
				proven[num] = true
			} else {
				todo = append(todo, src)
			}
		}
	}
	s.mu.Unlock()
	slices.SortFunc(todo, func(a, b *source) int { return int(a.peer.trip - b.peer.trip) })
	results := make(chan outcome, len(todo))
	wanted, running := v.header.K, 0
	for len(proven) < wanted {
		for running+len(proven) < wanted && len(todo) > 0 {
			src := todo[0]
			todo = todo[1:]
			if proven[src.num] {
				continue
			}
			running++
			s.wg.Go(func() { results <- outcome{src, s.prove(s.ctx, src)} })
		}
		if running == 0 {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case r := <-results:
			running--
			if r.err != nil {
				s.reject(r.src, r.err)
				continue
			}
			proven[r.src.num] = true
		}
	}
	return true
}

// reject records why a share could not be used.
func (s *survey) reject(src *source, err error) {
	if isLie(err) {
		s.accuse(src, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	src.failed = true
	s.moved = s.moved || errors.Is(err, errOverwritten)
	src.peer.rest = s.f.cfg.Now().Add(restTime)
	s.note(transfer.Blame{Server: src.peer.server.Key(), Share: src.num, Reason: err})
}

// Header names the version and gives its geometry. Its signature was verified.
func (v *Version) Header() ssk.Header { return v.proof.header }

// PublicKey is the file's, as its shares have it. Read only.
func (v *Version) PublicKey() []byte { return v.proof.publicKey }

// Signature over the header. Read only.
func (v *Version) Signature() []byte { return v.proof.signature }

// Blamed lists the servers that lied or failed so far, in the order it was noticed, each share at most once. The caller owns
// it.
func (v *Version) Blamed() []transfer.Blame { return v.s.blames() }

// Close ends reads in progress and waits for everything the version started. It must not be called from within a read's fn.
// It always returns nil, as often as it is called.
func (v *Version) Close() error {
	v.s.end()
	return nil
}

// Read writes length bytes of the contents from offset on to w.
//
// Errors: those of ReadBlocks, ErrNoReadCap, ssk.ErrInconsistent, or w's.
func (v *Version) Read(ctx context.Context, key caps.MutableReadKey, offset, length uint64, w io.Writer) error {
	if key.StorageIndex() != v.s.v.StorageIndex {
		return ErrNoReadCap
	}
	o, err := NewOpener(v.proof.header, key, offset, length, w)
	if err != nil {
		return err
	}
	first, count := o.Segments()
	blocks := make([]ssk.Block, 0, v.proof.header.K)
	return v.ReadBlocks(ctx, first, count, func(b Blocks) error {
		blocks = blocks[:0]
		for _, e := range b.Entries {
			blocks = append(blocks, ssk.Block{Num: e.Share.Num(), Entry: e.Data})
		}
		if err := o.Write(b.Segment, blocks); err != nil {
			return fmt.Errorf("segment %d: %w", b.Segment, err)
		}
		return nil
	})
}
