package mutable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
)

const (
	// surveyBytes is how much of each share the first question asks for: with the usual keys everything but blocks and
	// trees, and all of a small share.
	surveyBytes = 4 << 10
	// adviseTimeout bounds how long a liar is told that it lies.
	adviseTimeout = time.Second
	// leastRate is the rate, in bytes per second, at which a request of many bytes may still be on its way.
	leastRate = 16 << 10
	// briefly is the part of the patience that a reader has with silent servers when those that answered cannot have missed an
	// acknowledged version: only one that too few servers have, or of which most have lost theirs.
	briefly = 20
	// patienceFactor is how many times longer than the others a server may take before it counts as silent.
	patienceFactor = 4
)

// errSilent is the reason given for a server that did not answer in time.
var errSilent = errors.New("no answer in time")

// standing is how far a server was asked.
type standing uint8

const (
	asking   standing = iota
	late              // still asking, but no longer waited for
	answered          // its shares are known
	failed            // it refused, broke off, or was silent to the end
)

// peer is one server in a survey. The survey's lock guards what changes.
type peer struct {
	server   transfer.Server
	rank     int // in the permuted order
	standing standing
	err      error         // why it failed
	trip     time.Duration // of the first answer
	sources  []*source

	perByte  float64   // seconds, moving average of what it delivered; 0: unknown
	inFlight int64     // bytes asked for and not yet answered
	rest     time.Time // not chosen before, if others can be
}

// survey asks all servers for one file. What is found of it grows until end.
type survey struct {
	f      *Files
	v      caps.MutableVerify
	start  time.Time
	ctx    context.Context // ends with end
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	peers   []*peer // permuted order
	changed chan struct{}
	blamed  []transfer.Blame
	proofs  []*signed // of each version
	moved   bool      // a share was overwritten since
	closed  bool
}

// signed is a version whose signature was verified, with the bytes that it was verified with.
type signed struct {
	header               ssk.Header
	publicKey, signature []byte
}

// survey starts to ask all servers at once.
func (f *Files) survey(ctx context.Context, v caps.MutableVerify) *survey {
	s := &survey{f: f, v: v, start: f.cfg.Now(), changed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for i, server := range transfer.Permute(v.StorageIndex, f.cfg.Servers()) {
		s.peers = append(s.peers, &peer{server: server, rank: i})
	}
	for _, p := range s.peers {
		s.wg.Go(func() { s.ask(p) })
	}
	return s
}

// end stops everything the survey started and waits for it.
func (s *survey) end() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// ask learns what one server has.
func (s *survey) ask(p *peer) {
	start := s.f.cfg.Now()
	data, err := s.read(s.ctx, p, nil, []storage.Range{{Length: surveyBytes}})
	var sources []*source
	if err == nil {
		for num, parts := range data {
			if len(parts) == 1 && len(parts[0]) <= surveyBytes {
				sources = append(sources, s.newSource(p, num, parts[0]))
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		p.standing, p.err = failed, err
		s.note(transfer.Blame{Server: p.server.Key(), Share: -1, Reason: err})
		if errors.Is(err, errSilent) {
			s.f.tire(p.server.Key())
		}
	} else {
		p.standing, p.sources = answered, sources
		p.trip = s.f.cfg.Now().Sub(start)
		s.f.wakeUp(p.server.Key())
	}
	s.wake()
}

// read is ReadSlot with a deadline that allows for the bytes.
func (s *survey) read(ctx context.Context, p *peer, nums []int, ranges []storage.Range) (map[int][][]byte, error) {
	total := uint64(0)
	for _, r := range ranges {
		total += r.Length
	}
	limited, cancel := context.WithTimeout(ctx, s.f.allow(total))
	defer cancel()
	data, err := p.server.ReadSlot(limited, s.v.StorageIndex, nums, ranges)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = errSilent
	}
	return data, err
}

// allow is the time that a request of n bytes may take.
func (f *Files) allow(n uint64) time.Duration {
	return f.cfg.Timeout + time.Duration(n/leastRate)*time.Second
}

// await returns when everybody has answered or failed, or when those who have not have had as long as enough allows: 0 is not at
// all, negative that what is known does not suffice. They have a tenth of it if they were silent the last time as well, and in any
// case a few times as long as it took until the others sufficed. enough is called with the lock held. Those who are left behind
// become late.
func (s *survey) await(ctx context.Context, enough func() (patience time.Duration)) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	sufficed := time.Duration(-1)
	for {
		s.mu.Lock()
		pending, rested := 0, 0
		for _, p := range s.peers {
			if p.standing == asking {
				pending++
				if s.f.tired(p.server.Key()) {
					rested++
				}
			}
		}
		patience := enough()
		changed := s.changed
		elapsed := s.f.cfg.Now().Sub(s.start)
		s.mu.Unlock()
		if patience == 0 || pending == 0 {
			return ctx.Err()
		}
		var over <-chan time.Time
		if patience > 0 {
			if sufficed < 0 {
				sufficed = elapsed
			}
			if pending == rested {
				patience /= 10
			}
			timer.Reset(max(patience, patienceFactor*sufficed) - elapsed)
			over = timer.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-over:
			s.leave()
			return nil
		}
	}
}

// patientIf is how long silent servers are waited for once what is known suffices.
func (s *survey) patientIf(sufficient bool) time.Duration {
	if !sufficient {
		return -1
	}
	return s.f.cfg.Patience
}

// leave gives up waiting for those who have not answered.
func (s *survey) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		if p.standing == asking {
			p.standing = late
			s.f.tire(p.server.Key())
		}
	}
}

// The functions below need the lock.

func (s *survey) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// note adds to the list of blame. A lie replaces a failure.
func (s *survey) note(b transfer.Blame) {
	if s.closed || errors.Is(b.Reason, context.Canceled) {
		return
	}
	for i, old := range s.blamed {
		if old.Server == b.Server && old.Share == b.Share {
			if b.Corrupt() && !old.Corrupt() {
				s.blamed[i] = b
			}
			return
		}
	}
	s.blamed = append(s.blamed, b)
	s.f.cfg.Logger.Warn("mutable share not usable", "peer_id", b.Server.String(), "share", b.Share, "error", b.Reason)
}

// The functions below take the lock themselves.

// accuse records that a share is not what it should be, and tells its server in the background.
func (s *survey) accuse(src *source, reason error) {
	lie := lieError{reason}
	s.mu.Lock()
	before := len(s.blamed)
	src.bad = lie
	s.note(transfer.Blame{Server: src.peer.server.Key(), Share: src.num, Reason: lie})
	fresh := len(s.blamed) > before && !s.closed
	if fresh {
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if !fresh {
		return
	}
	go func() {
		defer s.wg.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), adviseTimeout)
		defer cancel()
		if err := src.peer.server.Advise(ctx, s.v.StorageIndex, src.num, reason.Error()); err != nil {
			s.f.cfg.Logger.Debug("corruption advisory not delivered", "peer_id", src.peer.server.Key().String(), "error", err)
		}
	}()
}

// lieError is why a share is corrupt: it matches transfer.ErrCorrupt besides what it wraps.
type lieError struct{ reason error }

func (e lieError) Error() string { return fmt.Sprintf("%v: %v", transfer.ErrCorrupt, e.reason) }

func (e lieError) Unwrap() []error { return []error{transfer.ErrCorrupt, e.reason} }

// blames is a copy of the list of blame.
func (s *survey) blames() []transfer.Blame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]transfer.Blame(nil), s.blamed...)
}

// tooFew is the error for found good shares where need are needed.
func (s *survey) tooFew(found, need int) error {
	return &transfer.NotEnoughSharesError{Found: found, Need: need, Asked: len(s.peers), Blamed: s.blames()}
}
