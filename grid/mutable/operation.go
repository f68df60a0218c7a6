package mutable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

const (
	// pollFirst and pollMost bound how often the remains of somebody's write are looked at, and how long a writer that was
	// beaten waits before it tries again.
	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond
	// rescueSettles is for how many times Config.Settle servers are waited for where giving up would lose the file.
	rescueSettles = 20
	// distrustAfter is how often a server may say that somebody else has written without anything to show for it.
	distrustAfter = 2
)

// operation is one change of one file, with all its attempts.
type operation struct {
	f     *Files
	cap   caps.Cap // of a file, without areas
	write caps.WriteKey
	v     caps.MutableVerify
	force bool // what silent servers may have is given up

	own        map[ssk.Header]attempt // versions of ours that were not acknowledged
	last       []byte                 // contents of the newest of them
	tried      bool                   // something was sent
	beaten     map[caps.PublicKey]int
	distrusted map[caps.PublicKey]bool
	pause      time.Duration
}

// attempt is a version that we have sent and that was not acknowledged.
type attempt struct {
	contents []byte // where Modify made them
	foreign  uint64 // sequence number of the version of somebody else that it goes back to; 0: none
}

// begin locks the file and starts an operation.
func (f *Files) begin(ctx context.Context, write caps.Cap) (*operation, func(), error) {
	key, ok := write.WriteKey()
	v, mutable := write.MutableVerify()
	if !ok || !mutable {
		return nil, nil, ErrNoWriteCap
	}
	if file, ok := write.File(); ok {
		write = file
	}
	write = write.Local()
	unlock, err := f.locks.lock(ctx, v.StorageIndex)
	if err != nil {
		return nil, nil, err
	}
	return &operation{
		f: f, cap: write, write: key, v: v,
		own:    make(map[ssk.Header]attempt),
		beaten: make(map[caps.PublicKey]int), distrusted: make(map[caps.PublicKey]bool),
	}, unlock, nil
}

// view is what a writer bases itself on.
type view struct {
	s    *survey
	p    *picture
	base *version // nil: no version can be had
}

// look asks all servers, until what is there is settled: until nobody else can still be at a write that began before ours and be
// told that it succeeded. The view's survey must be ended.
//
// Errors: ErrUnsettled, transfer.NotEnoughSharesError, transfer.UnhappyError if too few servers answer, ctx's error.
func (o *operation) look(ctx context.Context) (*view, error) {
	marks := make(map[caps.PublicKey]string)
	since, begun := time.Time{}, o.f.cfg.Now()
	pause := pollFirst
	for {
		s := o.f.survey(ctx, o.v)
		err := s.await(ctx, func() time.Duration {
			p := s.picture(o.distrusted)
			return s.patientIf(p.newest() != nil && len(p.answered) >= o.f.cfg.Happy)
		})
		if err != nil {
			s.end()
			return nil, err
		}
		s.mu.Lock()
		p := s.picture(o.distrusted)
		s.mu.Unlock()
		if happy := o.f.cfg.Happy; len(p.answered) < happy {
			s.end()
			if o.rescues(p, begun) {
				if err := o.sleep(ctx, pollMost); err != nil {
					return nil, err
				}
				continue
			}
			return nil, &transfer.UnhappyError{Placed: len(p.answered), Wanted: happy, Servers: len(s.peers), Failed: s.blames()}
		}
		base, open := o.judge(p)
		if base != nil && !s.sound(ctx, base) {
			s.mu.Lock()
			p = s.picture(o.distrusted)
			s.mu.Unlock()
			base, open = o.judge(p)
		}
		if !open {
			return &view{s, p, base}, ctx.Err()
		}
		now := o.f.cfg.Now()
		if p.moved(marks) || since.IsZero() {
			since = now
		}
		if now.Sub(since) >= o.f.cfg.Settle {
			hidden := len(p.silent) > 0 && !o.force && o.hidden(p, base)
			if hidden && o.rescues(p, begun) {
				s.end()
				if err := o.sleep(ctx, pollMost); err != nil {
					return nil, err
				}
				continue
			}
			if hidden {
				s.end()
				if base == nil {
					return nil, s.tooFew(p.best())
				}
				return nil, ErrUnsettled
			}
			return &view{s, p, base}, ctx.Err()
		}
		s.end()
		if err := o.sleep(ctx, pause); err != nil {
			return nil, err
		}
		pause = min(2*pause, pollMost)
	}
}

// judge picks the version to base a change on: the newest recoverable one; of several with one sequence number the one that may
// yet be acknowledged, else the one on most servers. One of our own, which nobody was told of, is not taken while another's is
// there with a higher number than that which it was made from. open says that somebody else may be writing, or be told that they have written, a version
// that this would pass over.
func (o *operation) judge(p *picture) (base *version, open bool) {
	happy := o.f.cfg.Happy
	var own *version
	for _, v := range p.versions {
		switch _, ours := o.own[v.header]; {
		case !v.recoverable():
		case ours && own == nil:
			own = v
		case ours || base != nil && v.header.Seq < base.header.Seq:
		case base == nil || p.better(v, base, happy):
			base = v
		}
	}
	if own != nil && (base == nil || base.header.Seq <= o.own[own.header].foreign) {
		base = own
	}
	for _, v := range p.versions {
		_, ours := o.own[v.header]
		switch {
		case ours || base != nil && v.header.Seq < base.header.Seq:
		case v == base:
			// It may be on its way to the others.
			open = open || v.servers+len(p.silent) < happy && p.mayWin(v, happy)
		case p.mayWin(v, happy) || len(p.silent) > 0 && (base == nil || v.header.Seq > base.header.Seq):
			open = true
		}
	}
	return base, open
}

// rescues reports whether giving up would lose the file: writers have cut each other's versions to pieces, what it held is nowhere
// but in this operation, and servers that are away may be back in time.
func (o *operation) rescues(p *picture, begun time.Time) bool {
	return o.tried && o.last != nil && p.newest() == nil && o.f.cfg.Now().Sub(begun) < rescueSettles*o.f.cfg.Settle
}

// hidden reports whether a version that would be passed over may be complete together with the servers that did not answer: it
// is reckoned that each of those has no more shares than it would have if all were spread evenly.
func (o *operation) hidden(p *picture, base *version) bool {
	servers := len(p.answered) + len(p.silent)
	for _, v := range p.versions {
		if v == base {
			continue
		}
		if base != nil && v.header.Seq < base.header.Seq {
			break
		}
		if _, own := o.own[v.header]; own {
			continue
		}
		each := (v.header.N + servers - 1) / servers
		if len(v.shares)+each*len(p.silent) >= v.header.K {
			return true
		}
	}
	return false
}

// sleep waits for a random part of d, at least a quarter.
func (o *operation) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/4 + rand.N(d*3/4)) //nolint:gosec // G404: only so that writers do not keep step
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// keys are the file's, from memory or from a share.
//
// Errors: transfer.NotEnoughSharesError if no share has them, ssk.ErrKeys, ctx's error.
func (o *operation) keys(ctx context.Context, w *view) (*ssk.Keys, error) {
	if keys := o.f.keys.get(o.v.StorageIndex); keys != nil {
		return keys, nil
	}
	w.s.mu.Lock()
	var sources []*source
	for _, p := range w.p.answered {
		for _, src := range p.sources {
			if src.bad == nil && !src.failed {
				sources = append(sources, src)
			}
		}
	}
	w.s.mu.Unlock()
	slices.SortStableFunc(sources, func(a, b *source) int { return int(a.peer.trip - b.peer.trip) })
	for _, src := range sources {
		parts, err := w.s.fetch(ctx, src, src.head.PrivateKey())
		if err == nil {
			var keys *ssk.Keys
			if keys, err = ssk.OpenKeys(o.write, parts[0]); err == nil {
				o.f.keys.put(o.v.StorageIndex, keys)
				return keys, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ssk.ErrKeys):
			return nil, err
		}
		// It is covered by no hash: a share is good without it.
		w.s.mu.Lock()
		w.s.note(transfer.Blame{Server: src.peer.server.Key(), Share: src.num, Reason: fmt.Errorf("reading the private key: %w", err)})
		w.s.mu.Unlock()
	}
	return nil, w.s.tooFew(0, 1)
}

// change is what to publish.
type change struct {
	src    io.ReaderAt
	size   uint64
	memory []byte   // the contents, if Modify made them
	old    *ssk.Old // to change shares in place
	span   span     // of segments that change then
	all    bool     // place every share that is missing
}

// publish puts a new version where the view was found, and acknowledges it: nil means that Happy servers hold it, that every
// test held, and that nobody else can be told that they have written before it.
//
// Errors: errConflict, transfer.UnhappyError, ErrTooLarge, ctx's error, or what the source returned.
func (o *operation) publish(ctx context.Context, w *view, c change) (Result, error) {
	keys, err := o.keys(ctx, w)
	if err != nil {
		return Result{}, err
	}
	// One more than anybody else would take makes a version that is beaten look newer than the one that beat it: so what is
	// counted is what can be seen, not what was tried.
	seen, _, _ := o.f.cfg.Seen.Newest(o.v.StorageIndex)
	cfg := ssk.EncoderConfig{
		Keys: keys, Format: ssk.FormatOf(o.v), Seq: max(w.p.highest, seen) + 1,
		K: o.f.cfg.K, N: o.f.cfg.N, Length: c.size, Old: c.old,
	}
	if w.base != nil {
		cfg.K, cfg.N = w.base.header.K, w.base.header.N
	} else if len(w.p.versions) > 0 {
		cfg.K, cfg.N = w.p.versions[0].header.K, w.p.versions[0].header.N
	}
	happy := min(o.f.cfg.Happy, cfg.N)
	e, err := encode(ctx, cfg, c.src, c.span, o.f.cfg.Memory)
	if err != nil {
		return Result{}, tooLarge(err)
	}
	p := &publication{
		f: o.f, v: o.v, write: o.write, e: e, header: e.out.Head().Header, fixed: c.old != nil,
		lost: w.s.blames(),
	}
	o.aim(w, p, happy, c.all)
	mine := attempt{contents: c.memory}
	if w.base != nil {
		mine.foreign = w.base.header.Seq
		if before, ours := o.own[w.base.header]; ours {
			mine.foreign = before.foreign
		}
		p.wary = w.p.highest > w.base.header.Seq
	}
	o.own[p.header] = mine
	if c.memory != nil {
		o.last = c.memory
	}
	if p.happiness((*target).hopeful) < happy {
		return Result{}, p.unhappy(happy, (*target).hopeful) // nothing was sent
	}
	o.tried = true
	if err := p.send(ctx, happy); err != nil {
		for _, t := range p.targets {
			if t.outcome == beaten {
				o.beaten[t.peer.server.Key()]++
			}
		}
		return Result{}, err
	}
	if slow := o.f.cfg.Now().Sub(p.started) > o.f.cfg.Settle/2; slow || p.happiness((*target).holds) < happy {
		if err := o.confirm(ctx, p, slow); err != nil {
			return Result{}, err
		}
	}
	if p.happiness((*target).holds) < happy {
		return Result{}, p.unhappy(happy, (*target).holds)
	}
	delete(o.own, p.header)
	o.f.cfg.Seen.Note(o.v.StorageIndex, p.header.Seq, p.header.Root)
	return p.result(o.cap), nil
}

// aim makes targets of the servers that answered.
func (o *operation) aim(w *view, p *publication, happy int, all bool) {
	uploads := make(map[caps.PublicKey]bool)
	for _, server := range o.f.cfg.Uploads() {
		uploads[server.Key()] = true
	}
	length := len(p.header.Checkstring())
	for _, peer := range w.p.answered {
		t := &target{peer: peer, tests: make(map[int][]byte)}
		for _, src := range peer.sources {
			if src.num >= p.header.N || src.num < 0 {
				continue
			}
			t.tests[src.num] = src.raw[:min(len(src.raw), length)]
			if w.base != nil && src.bad == nil && !src.failed && src.head.Header == w.base.header {
				t.base = append(t.base, src.num)
			}
		}
		switch {
		case len(t.tests) > 0:
			p.targets = append(p.targets, t)
		case uploads[peer.server.Key()]:
			p.spare = append(p.spare, t)
		}
	}
	p.spread(happy, all || len(w.p.silent) == 0)
}

// again looks anew after a conflict. A server that said that somebody else has written, and shows nothing of it, lies or has lost
// its mind, and must not keep others from writing: it is not trusted any more in this operation.
func (o *operation) again(ctx context.Context, before *picture) (*view, error) {
	if err := o.backOff(ctx); err != nil {
		return nil, err
	}
	for {
		w, err := o.look(ctx)
		if err != nil || !o.weigh(before, w.p) {
			return w, err
		}
		w.s.end()
	}
}

// weigh reports whether a server is not trusted any more.
func (o *operation) weigh(before, after *picture) (changed bool) {
	for _, peer := range after.answered {
		key := peer.server.Key()
		switch {
		case o.beaten[key] == 0:
		case !before.stands(key, peer):
			o.beaten[key] = 0
		case o.beaten[key] >= distrustAfter:
			o.distrusted[key], changed = true, true
			o.f.cfg.Logger.Warn("a server reports changes that it does not show", "peer_id", key.String())
		}
	}
	return changed
}

// confirm asks which servers hold a version that was sent, where it is not known or took long. A write that took long may have
// been taken for that of a crashed writer, so then nobody else may have written anything.
func (o *operation) confirm(ctx context.Context, p *publication, slow bool) error {
	s := o.f.survey(ctx, o.v)
	defer s.end()
	if err := s.await(ctx, func() time.Duration {
		return s.patientIf(len(s.picture(o.distrusted).answered) >= o.f.cfg.Happy)
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pic := s.picture(o.distrusted)
	for _, v := range pic.versions {
		if v.header != p.header && v.header.Seq >= p.header.Seq {
			return errConflict
		}
	}
	for _, t := range p.targets {
		if t.outcome != unknown && (t.outcome != applied || !slow) {
			continue
		}
		t.outcome = unknown
		for _, peer := range pic.answered {
			if peer.server.Key() != t.peer.server.Key() {
				continue
			}
			have := 0
			for _, src := range peer.sources {
				if _, ours := t.tests[src.num]; ours && src.bad == nil && !src.failed && src.head.Header == p.header {
					have++
				}
			}
			if have == len(t.tests) {
				t.outcome = applied
			}
		}
	}
	return nil
}

// backOff waits after a conflict, longer each time.
func (o *operation) backOff(ctx context.Context) error {
	o.pause = min(max(2*o.pause, pollFirst), pollMost)
	return o.sleep(ctx, o.pause)
}

// tooLarge names what the codec says of a size.
func tooLarge(err error) error {
	if errors.Is(err, ssk.ErrGeometry) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}
