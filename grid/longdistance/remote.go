package longdistance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// maxAttempts is how many payees one file is asked of in vain before the
// payer gives up.
const maxAttempts = 32

// Remote is a file that a payee serves. It is a [File]: one goroutine at a time
// reads and closes it.
//
// When a payee fails in the middle, the next one of the route goes on with the
// first segment that is missing; what was delivered is not asked for, and not
// paid for, again.
type Remote struct {
	payer *Payer
	route Route
	req   Request
	ueb   *chk.UEB // nil until a payee has shown it

	talk     *talk   // nil: nobody is spoken to
	offer    Offer   // whom talk speaks to
	worked   bool    // it has delivered since it was chosen, and did not fall silent
	late     []Offer // delivered, then fell silent: asked again when nobody else is left
	check    *verifier
	next     int // segments that the running request will still bring
	end      int
	attempts []Attempt
}

var _ File = (*Remote)(nil)

// Open asks the payees of the route, in turn, for a range of a file. It returns
// when one has shown the file's UEB, which is verified; that payee then begins
// to send what r asks for, and Read takes it.
//
// Errors: *[FailedError] with what each payee said; of ctx.
func (p *Payer) Open(ctx context.Context, route Route, r Request) (*Remote, error) {
	r.Payer = caps.PublicKey{}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	f := &Remote{payer: p, route: route, req: r}
	if err := f.connect(ctx, r); err != nil {
		return nil, err
	}
	return f, nil
}

// UEB returns the block that describes the file.
func (f *Remote) UEB() []byte { return f.ueb.Raw }

// Geometry says how the file is cut.
func (f *Remote) Geometry() chk.Geometry { return f.ueb.Geometry }

// Payee is who served last.
func (f *Remote) Payee() caps.PublicKey { return f.offer.Peer.Key }

// Area is the area of who served last; zero for the home grid.
func (f *Remote) Area() caps.AreaCode { return f.offer.Area }

// Attempts lists who failed so far, in order.
func (f *Remote) Attempts() []Attempt { return f.attempts }

// connect starts r at the payee that served last, if it did well, or at the
// next one that takes it.
func (f *Remote) connect(ctx context.Context, r Request) error {
	again := f.worked
	f.worked = false
	for {
		offer := f.offer
		if !again {
			var err error
			offer, err = f.route.Next(ctx)
			switch {
			case err == io.EOF && len(f.late) > 0: //nolint:errorlint // Route's promise
				offer, f.late, err = f.late[0], f.late[1:], nil
			case err == io.EOF: //nolint:errorlint // likewise
				return f.failed()
			}
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				f.note(Attempt{Area: offer.Area, Err: unwrapArea(err)})
				continue
			}
		}
		again = false
		err := f.start(ctx, offer, r)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		f.note(Attempt{Payee: offer.Peer.Key, Area: offer.Area, Err: err})
		if len(f.attempts) >= maxAttempts {
			return f.failed()
		}
	}
}

// unwrapArea takes the area out of an error that an Attempt names it for.
func unwrapArea(err error) error {
	var a *AreaError
	if errors.As(err, &a) {
		return a.Err
	}
	return err
}

// failed says that the route is at its end.
func (f *Remote) failed() error {
	if len(f.attempts) == 0 {
		return ErrNoPayee
	}
	return &FailedError{Attempts: f.attempts, Segment: f.next}
}

// note records who failed, and tells.
func (f *Remote) note(a Attempt) {
	f.attempts = append(f.attempts, a)
	f.payer.config.Logger.Info("payee failed", "peer_id", a.Payee.String(), "area_code", a.Area.String(), "error", a.Err)
	f.payer.config.Switched(a)
}

// start begins a request at one payee.
func (f *Remote) start(ctx context.Context, offer Offer, r Request) error {
	y, err := f.payer.party(offer.Peer)
	if err != nil {
		return err
	}
	for {
		t, err := y.take(ctx, offer.Peer)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, t.s.Reset)
		if err = t.greet(ctx, offer, r); err == nil {
			var ueb *chk.UEB
			if ueb, err = t.request(ctx, r); err == nil {
				if stop() || ctx.Err() == nil {
					f.begun(offer, t, ueb, r)
					return nil
				}
				err = ctx.Err()
			}
		}
		stop()
		if refused(err) {
			f.release(t)
			return err
		}
		t.drop()
		if t.fresh || ctx.Err() != nil {
			return err
		}
		// The stream died while it lay idle: a new one may do.
	}
}

// begun takes over a request that a payee has begun to answer.
func (f *Remote) begun(offer Offer, t *talk, ueb *chk.UEB, r Request) {
	first, count := ueb.Geometry.Cover(r.Offset, r.Length)
	f.offer, f.talk, f.ueb = offer, t, ueb
	f.next, f.end = first, first+count
	f.check = newVerifier(ueb, first)
}

// release settles in the background and keeps the stream.
func (f *Remote) release(t *talk) {
	settled := f.payer.later(func(ctx context.Context) {
		t.s.SetStepTimeout(f.payer.config.SettleTimeout)
		if err := t.settle(ctx); err != nil {
			t.drop()
			return
		}
		t.party.put(t)
	})
	if !settled {
		t.drop()
	}
}

// Read calls fn with count segments from first on. It goes on at other payees
// when one fails; what is verified is signed for as it comes.
//
// Errors: fn's as it is; *[FailedError] when no payee is left; of ctx.
func (f *Remote) Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error {
	g := f.ueb.Geometry
	if first < 0 || count < 0 || first > g.Segments || count > g.Segments-first {
		return fmt.Errorf("reading %d segments from %d on of a file that has %d: %w", count, first, g.Segments, p2p.ErrMalformed)
	}
	for next, end := first, first+count; next < end; {
		if f.talk == nil || f.next != next || f.end != end {
			if err := f.ask(ctx, next, end); err != nil {
				return err
			}
		}
		delivered, consumer, err := f.deliver(ctx, fn)
		next += delivered
		f.worked = f.worked || delivered > 0
		if f.worked && errors.Is(err, p2p.ErrStepTimeout) {
			// It would cost the same wait again; a lost connection costs none.
			f.worked, f.late = false, append(f.late, f.offer)
		}
		if consumer != nil {
			return consumer
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.note(Attempt{Payee: f.offer.Peer.Key, Area: f.offer.Area, Err: err})
		if len(f.attempts) >= maxAttempts {
			return f.failed()
		}
	}
	return nil
}

// ask starts a request for the segments from next to end, with whom the last
// one was if that went well.
func (f *Remote) ask(ctx context.Context, next, end int) error {
	r := f.req
	r.Offset = f.ueb.Geometry.SegmentOffset(next)
	r.Length = min(f.ueb.Geometry.SegmentOffset(end), f.ueb.Geometry.Size) - r.Offset
	if t := f.talk; t != nil {
		if f.next < f.end {
			f.abort(ctx)
		} else if err := f.askSame(ctx, t, r); err == nil || ctx.Err() != nil {
			return err
		}
		f.worked = true
	}
	return f.connect(ctx, r)
}

// askSame makes another request on a stream whose last one is complete.
func (f *Remote) askSame(ctx context.Context, t *talk, r Request) error {
	defer context.AfterFunc(ctx, t.s.Reset)()
	ueb, err := t.request(ctx, r)
	if err == nil {
		f.begun(f.offer, t, ueb, r)
		return nil
	}
	f.talk = nil
	if refused(err) {
		f.release(t)
	} else {
		t.drop()
	}
	return err
}

// piece is one verified segment on its way to fn.
type piece struct {
	segment transfer.Segment
	buf     *[]byte
}

// deliver receives what the running request brings, in a goroutine of its own,
// and calls fn with it. It returns how many segments fn took, fn's error, and
// the payee's. Unless both are nil, f.talk is nil afterwards.
func (f *Remote) deliver(ctx context.Context, fn func(transfer.Segment) error) (delivered int, consumer, failure error) {
	t := f.talk
	defer context.AfterFunc(ctx, t.s.Reset)()
	depth := f.payer.enter(f.ueb.Geometry)
	defer f.payer.leave()
	pieces := make(chan piece, depth)
	quit := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer close(pieces)
		done <- f.receive(ctx, t, pieces, quit)
	}()
	var late *time.Timer // resets a payee that does not stop
	for p := range pieces {
		if consumer == nil {
			if consumer = fn(p.segment); consumer == nil {
				delivered++
			} else {
				close(quit)
				late = time.AfterFunc(f.payer.config.SettleTimeout, t.s.Reset)
				// A stream that cannot take it is dropped below.
				_ = t.stop()
			}
		}
		f.payer.buffers.put(p.buf)
	}
	failure = <-done
	if late != nil {
		late.Stop()
	}
	if failure == nil && consumer == nil {
		return delivered, nil, nil
	}
	f.talk = nil
	if failure == nil || refused(failure) {
		f.release(t)
	} else {
		t.drop()
		f.settleLater(t)
	}
	return delivered, consumer, failure
}

// settleLater signs, over another stream, for what was verified on one that
// broke.
func (f *Remote) settleLater(t *talk) {
	if t.tab == nil {
		return
	}
	if due, _ := t.tab.open(); !due {
		return
	}
	y, b, peer := t.party, t.tab, f.offer.Peer
	// A payer that is closed has tried already.
	_ = f.payer.later(func(ctx context.Context) {
		if err := y.settleTab(ctx, peer, b); err != nil {
			f.payer.config.Logger.Debug("unsigned bytes stay due", "peer_id", y.key.String(), "error", err)
		}
	})
}

// enter counts a request that runs, and says how many segments it may have
// waiting.
func (p *Payer) enter(g chk.Geometry) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading++
	each := p.config.ReadAhead / int64(p.reading)
	// One more is in the receiver's hands, one in the reader's.
	return int(min(max(each/int64(min(g.SegmentSize, g.Size))-2, 0), 16)) //nolint:gosec // a segment is at most maxSegment
}

func (p *Payer) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading--
}

// receive takes the running request's segments to its End: each is verified,
// then counted, then handed on and signed for in time. Once quit is closed the
// payee is about to stop; what still comes is verified, counted and dropped,
// and must fit one window.
func (f *Remote) receive(ctx context.Context, t *talk, pieces chan<- piece, quit <-chan struct{}) error {
	g := f.ueb.Geometry
	var late uint64
	for {
		m, err := t.receive(ctx, uint64(g.SegmentLen(f.next))) //nolint:gosec // never negative
		if err != nil {
			return err
		}
		if end := m.GetEnd(); end != nil {
			if err := endOf(end); err != nil {
				return err
			}
			if f.next < f.end && !closed(quit) {
				return fmt.Errorf("the transfer was ended %d segments early: %w", f.end-f.next, ErrOrder)
			}
			return t.pay(ctx, true)
		}
		s := m.GetSegment()
		if s == nil || f.next >= f.end || s.GetIndex() != uint64(f.next) || uint64(s.GetLength()) != uint64(g.SegmentLen(f.next)) { //nolint:gosec // never negative
			return fmt.Errorf("segment %d was due: %w", f.next, ErrOrder)
		}
		n := int(s.GetLength())
		buf := f.payer.buffers.get(n)
		if err := t.s.ReadData(*buf); err != nil {
			f.payer.buffers.put(buf)
			return unavailable(err)
		}
		chain, err := f.check.check(f.next, *buf, s.GetChain())
		if err != nil {
			f.payer.buffers.put(buf)
			return err
		}
		p := piece{transfer.Segment{Index: f.next, Data: *buf, Chain: chain}, buf}
		f.next++
		// What is verified is counted, and what is counted is delivered, also if
		// the payee is gone by now.
		var unpaid error
		if t.tab != nil {
			t.tab.verified(n)
			t.tab.paid(t)
			if late == 0 {
				unpaid = t.pay(ctx, false)
			}
		}
		if !closed(quit) {
			select {
			case pieces <- p:
				if unpaid != nil {
					return unpaid
				}
				continue
			case <-quit:
			}
		}
		f.payer.buffers.put(buf)
		if unpaid != nil {
			return unpaid
		}
		if late += uint64(n); late > lateBytes { //nolint:gosec // a length
			return fmt.Errorf("a payee that does not stop: %w", ErrOrder)
		}
	}
}

// lateBytes is the most that is taken after Stop: what a window may hold.
const lateBytes = DefaultMaxWindow + 2*maxSegment

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// abort ends a request that nobody reads to its end.
func (f *Remote) abort(ctx context.Context) {
	t := f.talk
	f.talk = nil
	stop := context.AfterFunc(ctx, t.s.Reset)
	defer stop()
	quit := make(chan struct{})
	close(quit)
	err := t.stop()
	if err == nil {
		err = f.receive(ctx, t, nil, quit)
	}
	if err == nil || refused(err) {
		f.release(t)
		return
	}
	t.drop()
}

// Close signs for what was read, which the payee gets before Close returns, and
// gives back the stream. A request that was not read to its end is stopped.
// Its error is always nil: what could not be signed for stays due.
func (f *Remote) Close() error {
	t := f.talk
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.payer.config.SettleTimeout)
	defer cancel()
	if f.next < f.end {
		t.s.SetStepTimeout(f.payer.config.SettleTimeout)
		f.abort(ctx)
		return nil
	}
	f.talk = nil
	t.s.SetStepTimeout(f.payer.config.SettleTimeout)
	if err := t.settle(ctx); err != nil {
		t.drop()
		f.settleLater(t)
		return nil
	}
	t.party.put(t)
	return nil
}
