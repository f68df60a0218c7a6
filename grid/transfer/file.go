package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/storage"
)

const (
	// spareShares are kept ready beyond the k that are needed, so that the
	// first share that fails is replaced without a round trip.
	spareShares = 1
	// askAtLeast and askAtMost bound the servers asked at a time which shares
	// they have.
	askAtLeast = 10
	askAtMost  = 64
	// askPatience is how long a server may take to answer that before the
	// next is asked as well.
	askPatience = 300 * time.Millisecond
	// adviseTimeout bounds how long Close may wait for a liar to be told.
	adviseTimeout = time.Second
)

// File is an immutable file on the servers of one grid, open for reading its
// ciphertext. Safe for concurrent use, several [File.Read] at once included.
type File struct {
	cfg    Config
	v      caps.CHKVerify
	si     caps.StorageIndex
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // everything started, reads included

	// Set before Open returns and not changed afterwards.
	ueb              *chk.UEB
	decoder          *chk.Decoder
	crypttext        remoteTree // offset is the source's
	crypttextWindows windows
	segments, blocks *buffers

	mu      sync.Mutex
	peers   []*peer   // permuted order
	sources []*source // in the order they were heard of
	want    int       // distinct shares to have ready
	changed chan struct{}
	blamed  []Blame
	broken  error // the uploader's fault: no share can help
	closed  bool
}

// Open finds a file's shares and returns when k distinct ones are proven to
// belong to v.
//
// ctx bounds Open only. The file must be closed.
//
// Errors: [NotEnoughSharesError] (which matches [ErrNotEnoughShares], and
// [ErrNoShares] if there is no trace of the file), [ErrInconsistent] if the
// uploader made the file wrong, what v.Validate says, or ctx's error.
func Open(ctx context.Context, cfg Config, v caps.CHKVerify) (*File, error) {
	if err := v.Validate(); err != nil {
		return nil, fmt.Errorf("checking the verify cap: %w", err)
	}
	f := &File{
		cfg:     cfg.withDefaults(),
		v:       v,
		si:      v.StorageIndex,
		want:    min(v.K+spareShares, v.N),
		changed: make(chan struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for i, s := range Permute(f.si, cfg.Servers) {
		f.peers = append(f.peers, &peer{server: s, rank: i})
	}
	if err := f.find(ctx); err != nil {
		f.end()
		return nil, err
	}
	return f, nil
}

// find waits until k distinct shares are ready.
func (f *File) find(ctx context.Context) error {
	for {
		f.mu.Lock()
		f.advance()
		found, busy, broken, changed := f.readyShares(), f.busy(), f.broken, f.changed
		f.mu.Unlock()
		switch {
		case broken != nil:
			return broken
		case found >= f.v.K:
			return nil
		case !busy:
			return f.tooFew(found)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// UEB is the file's URI extension block, which hashes to the cap's UEB hash.
// The caller must not change it.
func (f *File) UEB() []byte { return f.ueb.Raw }

// Geometry says how the file is cut into segments and blocks.
func (f *File) Geometry() chk.Geometry { return f.ueb.Geometry }

// Chain is the proof of segment seg in the ciphertext tree: the siblings from
// its leaf up. It is there while or after the segment is read, or one within a
// few thousand of it, and nil otherwise. The caller owns it.
func (f *File) Chain(seg int) []caps.Node {
	if seg < 0 || seg >= f.ueb.Geometry.Segments {
		return nil
	}
	win := f.crypttextWindows.peek(seg / f.crypttext.span)
	if win == nil {
		return nil
	}
	return win.chain(f.crypttext, seg)
}

// Blamed lists the servers that lied or failed so far, in the order it was
// noticed, each share at most once. The caller owns it.
func (f *File) Blamed() []Blame {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Blame(nil), f.blamed...)
}

// Close ends reads in progress and waits for everything the file started. It
// must not be called from within a Read's fn. It always returns nil, as often
// as it is called.
func (f *File) Close() error {
	f.end()
	return nil
}

func (f *File) end() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.wg.Wait()
}

// enter registers work that Close waits for. It reports whether the file is
// still open.
func (f *File) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.wg.Add(1)
	return true
}

// The functions below need the lock.

// wake tells those who wait that something changed.
func (f *File) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// readyShares is the number of distinct shares that are ready.
func (f *File) readyShares() int {
	nums := make(map[int]bool)
	for _, s := range f.sources {
		if s.standing == ready {
			nums[s.num] = true
		}
	}
	return len(nums)
}

// busy reports whether a question or probe is under way, awaited or not.
func (f *File) busy() bool {
	for _, p := range f.peers {
		if p.asked == asking || p.asked == askedLate {
			return true
		}
	}
	for _, s := range f.sources {
		if s.standing == probing || s.standing == probingLate {
			return true
		}
	}
	return false
}

// awaiting reports whether a question or probe is under way that is not late.
func (f *File) awaiting() bool {
	for _, p := range f.peers {
		if p.asked == asking {
			return true
		}
	}
	for _, s := range f.sources {
		if s.standing == probing {
			return true
		}
	}
	return false
}

// advance starts what it takes to have want distinct shares ready on servers
// that answer: probes of shares known of, else questions to servers. It
// reports whether it started anything.
func (f *File) advance() bool {
	if f.closed || f.broken != nil {
		return false
	}
	started := false
	now := f.cfg.Now()
	covered := make(map[int]bool)
	load := make(map[*peer]int)
	for _, s := range f.sources {
		if s.standing == probing || s.standing == ready && !s.peer.resting(now) {
			covered[s.num] = true
			load[s.peer]++
		}
	}
	for len(covered) < f.want {
		var best *source
		for _, s := range f.sources {
			if s.standing != listed || covered[s.num] {
				continue
			}
			if best == nil || f.probeBefore(s, best, load, now) {
				best = s
			}
		}
		if best == nil {
			break
		}
		f.probe(best)
		covered[best.num] = true
		load[best.peer]++
		started = true
	}
	if len(covered) >= f.want {
		return started
	}
	open := 0
	for _, p := range f.peers {
		if p.asked == asking {
			open++
		}
	}
	for _, p := range f.peers {
		if open >= min(max(f.want, askAtLeast), askAtMost) {
			break
		}
		if p.asked == notAsked {
			f.ask(p)
			open++
			started = true
		}
	}
	return started
}

// probeBefore prefers servers that answer, then an even spread, then shares
// that need no decoding, then the server that answered sooner.
func (f *File) probeBefore(a, b *source, load map[*peer]int, now time.Time) bool {
	if x, y := a.peer.resting(now), b.peer.resting(now); x != y {
		return y
	}
	if x, y := load[a.peer], load[b.peer]; x != y {
		return x < y
	}
	if x, y := a.num < f.v.K, b.num < f.v.K; x != y {
		return x
	}
	return a.peer.trip < b.peer.trip
}

// ask starts asking a server which shares it has.
func (f *File) ask(p *peer) {
	p.asked = asking
	start := f.cfg.Now()
	late := time.AfterFunc(askPatience, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if p.asked == asking {
			p.asked = askedLate
			p.tired(f.cfg.Now())
			f.advance()
			f.wake()
		}
	})
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		ctx, cancel := context.WithTimeout(f.ctx, f.cfg.Timeout)
		infos, err := p.server.Shares(ctx, f.si)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = errSilent
		}
		cancel()
		late.Stop()

		f.mu.Lock()
		defer f.mu.Unlock()
		p.asked = askedDone
		if err != nil {
			p.tired(f.cfg.Now())
			f.note(Blame{p.server.Key(), -1, err})
		} else {
			p.tripped(f.cfg.Now().Sub(start))
			f.list(p, infos)
		}
		f.advance()
		f.wake()
	}()
}

// list takes up what a server says it has, as far as it can be true.
func (f *File) list(p *peer, infos []storage.ShareInfo) {
	least := (f.v.Size-1)/uint64(f.v.K) + 1
	have := make(map[int]bool)
	for _, s := range f.sources {
		if s.peer == p {
			have[s.num] = true
		}
	}
	for _, info := range infos {
		if info.Num < 0 || info.Num >= f.v.N || info.Size < least || have[info.Num] {
			continue
		}
		have[info.Num] = true
		f.sources = append(f.sources, &source{peer: p, num: info.Num, size: info.Size})
	}
}

// probe starts examining a source.
func (f *File) probe(s *source) {
	s.standing = probing
	known := f.ueb
	late := time.AfterFunc(s.peer.patience(min(int64(s.size), wholeShare)), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if s.standing == probing {
			s.standing = probingLate
			s.peer.tired(f.cfg.Now())
			f.advance()
			f.wake()
		}
	})
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		p, err := f.examine(f.ctx, s, known)
		late.Stop()
		if err != nil {
			f.blame(s, err)
		} else if p.liar != nil {
			// Its blocks are good all the same.
			f.accuse(s, p.liar)
		}

		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case err == nil:
			f.settle(p)
			s.standing = ready
		case errors.Is(err, ErrInconsistent):
			f.broken = err
			s.standing = bad
		case errors.Is(err, ErrCorrupt):
			s.standing = bad
		default:
			s.standing = failed
		}
		f.advance()
		f.wake()
	}()
}

// settle takes over what the first good share says about the file.
func (f *File) settle(p proof) {
	if f.ueb == nil {
		g := p.ueb.Geometry
		decoder, err := chk.NewDecoder(g, nil)
		if err != nil {
			f.broken = fmt.Errorf("%w: %w", ErrInconsistent, err)
			return
		}
		f.ueb, f.decoder = p.ueb, decoder
		f.crypttext = newRemoteTree(0, g.Segments, g.K, p.ueb.CrypttextRoot)
		f.segments = &buffers{size: g.PaddedLen(0)}
		f.blocks = &buffers{size: g.BlockLen(0)}
	}
	if p.crypttext != nil && f.crypttextWindows.peek(0) == nil {
		f.crypttextWindows.put(0, p.crypttext)
	}
}

// note adds to the list of blame. A lie replaces a failure.
func (f *File) note(b Blame) {
	if f.closed || errors.Is(b.Reason, context.Canceled) {
		return
	}
	for i, old := range f.blamed {
		if old.Server == b.Server && old.Share == b.Share {
			if b.Corrupt() && !old.Corrupt() {
				f.blamed[i] = b
			}
			return
		}
	}
	f.blamed = append(f.blamed, b)
	f.cfg.Logger.Warn("share not usable", "peer_id", b.Server.String(), "share", b.Share, "error", b.Reason)
}

// The functions below take the lock themselves.

// blame records why a source failed, drops it if it lied, and tells the
// server.
func (f *File) blame(s *source, reason error) {
	if isLie(reason) {
		f.mu.Lock()
		s.standing = bad
		f.advance()
		f.mu.Unlock()
		f.accuse(s, reason)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(Blame{s.peer.server.Key(), s.num, reason})
}

// accuse records a lie and tells the server of it, in the background.
func (f *File) accuse(s *source, reason error) {
	f.mu.Lock()
	before := len(f.blamed)
	f.note(Blame{s.peer.server.Key(), s.num, reason})
	fresh := len(f.blamed) > before
	f.mu.Unlock()
	if !fresh || !f.enter() {
		return
	}
	go func() {
		defer f.wg.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), adviseTimeout)
		defer cancel()
		if err := s.peer.server.Advise(ctx, f.si, s.num, reason.Error()); err != nil {
			f.cfg.Logger.Debug("corruption advisory not delivered", "peer_id", s.peer.server.Key().String(), "error", err)
		}
	}()
}

// tooFew is the error for found shares where k are needed.
func (f *File) tooFew(found int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &NotEnoughSharesError{
		Found: found, Need: f.v.K, Asked: len(f.peers),
		Blamed: append([]Blame(nil), f.blamed...),
	}
}

// choose picks the ready source that should deliver n bytes first, among
// those not tried whose share is not taken. Of servers that rest one is chosen
// only if no other is left. nil: there is none.
func (f *File) choose(tried map[*source]bool, taken map[int]bool, n int64) *source {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Now()
	var best *source
	var bestTime time.Duration
	bestRests := false
	for _, s := range f.sources {
		if s.standing != ready || tried[s] || taken[s.num] {
			continue
		}
		rests := s.peer.resting(now)
		expected := s.peer.expect(n)
		if s.whole != nil {
			expected, rests = 0, false
		}
		if s.num >= f.v.K {
			expected += expected / 4 // it must be decoded
		}
		if best == nil || rests == bestRests && expected < bestTime || !rests && bestRests {
			best, bestTime, bestRests = s, expected, rests
		}
	}
	return best
}

// need sees to it that another share is being sought, beyond those that were
// wanted so far if nobody awaited is left. It reports whether there is hope
// for one.
func (f *File) need() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.advance() || f.awaiting() {
		return true
	}
	for f.want < f.v.N {
		f.want++
		if f.advance() {
			return true
		}
	}
	return f.busy()
}

// revive forgives servers that failed long enough ago, for a new read.
func (f *File) revive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Now()
	answered := make(map[*peer]bool)
	for _, s := range f.sources {
		answered[s.peer] = true
		if s.standing == failed && !s.peer.resting(now) {
			s.standing = listed
		}
	}
	for _, p := range f.peers {
		if p.asked == askedDone && !answered[p] && p.trip == 0 && !p.resting(now) {
			p.asked = notAsked
		}
	}
	f.advance()
}
