package longdistance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"trunkline/caps"
	"trunkline/p2p"
)

// maxAttempts is how many payees one file is asked of in vain before the
// payer gives up.
const maxAttempts = 32

// call is one file that is read from the payees of a route.
//
// When a payee fails in the middle, the next one of the route goes on with the
// first segment that is missing; what was delivered is not asked for, and not
// paid for, again.
type call struct {
	payer *Payer
	route Route
	req   Request
	about subject // nil until a payee has shown it

	talk     *talk   // nil: nobody is spoken to
	offer    Offer   // whom talk speaks to
	worked   bool    // it has delivered since it was chosen, and did not fall silent
	late     []Offer // delivered, then fell silent: asked again when nobody else is left
	check    checker
	next     int // segments that the running request will still bring
	end      int
	got      uint64 // billed bytes that were verified
	again    uint64 // requests on a stream that had one
	attempts []Attempt
}

// Payee is who served last.
func (c *call) Payee() caps.PublicKey { return c.offer.Peer.Key }

// Area is the area of who served last; zero for the home grid.
func (c *call) Area() caps.AreaCode { return c.offer.Area }

// Attempts lists who failed so far, in order.
func (c *call) Attempts() []Attempt { return c.attempts }

// connect starts r at the payee that served last, if it did well, or at the
// next one that takes it.
func (c *call) connect(ctx context.Context, r Request) error {
	again := c.worked
	c.worked = false
	for {
		offer := c.offer
		if !again {
			var err error
			offer, err = c.route.Next(ctx)
			switch {
			case err == io.EOF && len(c.late) > 0: //nolint:errorlint // Route's promise
				offer, c.late, err = c.late[0], c.late[1:], nil
			case err == io.EOF: //nolint:errorlint // likewise
				return c.failed()
			}
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				c.note(Attempt{Area: offer.Area, Err: unwrapArea(err)})
				continue
			}
		}
		again = false
		err := c.start(ctx, offer, r)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		c.note(Attempt{Payee: offer.Peer.Key, Area: offer.Area, Err: err})
		if len(c.attempts) >= maxAttempts {
			return c.failed()
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
func (c *call) failed() error {
	if len(c.attempts) == 0 {
		return ErrNoPayee
	}
	return &FailedError{Attempts: c.attempts, Segment: c.next}
}

// note records who failed, and tells.
func (c *call) note(a Attempt) {
	c.attempts = append(c.attempts, a)
	c.payer.config.Logger.Info("payee failed", "peer_id", a.Payee.String(), "area_code", a.Area.String(), "error", a.Err)
	c.payer.config.Switched(a)
}

// start begins a request at one payee.
func (c *call) start(ctx context.Context, offer Offer, r Request) error {
	y, err := c.payer.party(offer.Peer)
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
			var about subject
			if about, err = t.request(ctx, r); err == nil {
				if stop() || ctx.Err() == nil {
					c.begun(offer, t, about, r)
					return nil
				}
				err = ctx.Err()
			}
		}
		stop()
		if refused(err) {
			c.release(t)
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
func (c *call) begun(offer Offer, t *talk, about subject, r Request) {
	first, count := about.cover(r.Offset, r.Length)
	c.offer, c.talk, c.about = offer, t, about
	c.next, c.end = first, first+count
	c.check = about.checker(first)
}

// release settles in the background and keeps the stream.
func (c *call) release(t *talk) {
	settled := c.payer.later(func(ctx context.Context) {
		t.s.SetStepTimeout(c.payer.config.SettleTimeout)
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

// read calls fn with count pieces from first on. It goes on at other payees
// when one fails; what is verified is signed for as it comes.
//
// Errors: fn's as it is; *[FailedError] when no payee is left; of ctx.
func (c *call) read(ctx context.Context, first, count int, fn func(piece) error) error {
	if n := c.about.segments(); first < 0 || count < 0 || first > n || count > n-first {
		return fmt.Errorf("reading %d segments from %d on of a file that has %d: %w", count, first, n, p2p.ErrMalformed)
	}
	for next, end := first, first+count; next < end; {
		if c.talk == nil || c.next != next || c.end != end {
			if err := c.ask(ctx, next, end); err != nil {
				return err
			}
		}
		delivered, consumer, err := c.deliver(ctx, fn)
		next += delivered
		c.worked = c.worked || delivered > 0
		if c.worked && errors.Is(err, p2p.ErrStepTimeout) {
			// It would cost the same wait again; a lost connection costs none.
			c.worked, c.late = false, append(c.late, c.offer)
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
		c.note(Attempt{Payee: c.offer.Peer.Key, Area: c.offer.Area, Err: err})
		if len(c.attempts) >= maxAttempts {
			return c.failed()
		}
	}
	return nil
}

// ask starts a request for the segments from next to end, with whom the last
// one was if that went well.
func (c *call) ask(ctx context.Context, next, end int) error {
	r := c.req
	r.Offset, r.Length = c.about.span(next, end-next)
	if t := c.talk; t != nil && c.next < c.end {
		c.abort(ctx)
		c.worked = true
	}
	r.before.Bytes = c.got
	if t := c.talk; t != nil {
		c.again++ // one look-up more; another payee in its place is none
		r.before.Lookups = c.again
		if t.tab != nil {
			if err := withinLimit(t.tab.tariff.Value, r, bill(c.about, next, end-next)); err != nil {
				return err
			}
		}
		if err := c.askSame(ctx, t, r); err == nil || ctx.Err() != nil {
			return err
		}
		c.worked = true
	}
	return c.connect(ctx, r)
}

// askSame makes another request on a stream whose last one is complete.
func (c *call) askSame(ctx context.Context, t *talk, r Request) error {
	defer context.AfterFunc(ctx, t.s.Reset)()
	about, err := t.request(ctx, r)
	if err == nil {
		c.begun(c.offer, t, about, r)
		return nil
	}
	c.talk = nil
	if refused(err) {
		c.release(t)
	} else {
		t.drop()
	}
	return err
}

// deliver receives what the running request brings, in a goroutine of its own,
// and calls fn with it. It returns how many segments fn took, fn's error, and
// the payee's. Unless both are nil, c.talk is nil afterwards.
func (c *call) deliver(ctx context.Context, fn func(piece) error) (delivered int, consumer, failure error) {
	t := c.talk
	defer context.AfterFunc(ctx, t.s.Reset)()
	depth := c.payer.enter(c.about.largest())
	defer c.payer.leave()
	pieces := make(chan piece, depth)
	quit := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer close(pieces)
		done <- c.receive(ctx, t, pieces, quit)
	}()
	var late *time.Timer // resets a payee that does not stop
	for p := range pieces {
		if consumer == nil {
			if consumer = fn(p); consumer == nil {
				delivered++
			} else {
				close(quit)
				late = time.AfterFunc(c.payer.config.SettleTimeout, t.s.Reset)
				// A stream that cannot take it is dropped below.
				_ = t.stop()
			}
		}
		c.payer.buffers.put(p.buf)
	}
	failure = <-done
	if late != nil {
		late.Stop()
	}
	if failure == nil && consumer == nil {
		return delivered, nil, nil
	}
	c.talk = nil
	if failure == nil || refused(failure) {
		c.release(t)
	} else {
		t.drop()
		c.settleLater(t)
	}
	return delivered, consumer, failure
}

// settleLater signs, over another stream, for what was verified on one that
// broke.
func (c *call) settleLater(t *talk) {
	if t.tab == nil {
		return
	}
	if due, _ := t.tab.open(); !due {
		return
	}
	y, b, peer := t.party, t.tab, c.offer.Peer
	// A payer that is closed has tried already.
	_ = c.payer.later(func(ctx context.Context) {
		if err := y.settleTab(ctx, peer, b); err != nil {
			c.payer.config.Logger.Debug("unsigned bytes stay due", "peer_id", y.key.String(), "error", err)
		}
	})
}

// enter counts a request that runs, and says how many segments of at most so
// many bytes it may have waiting.
func (p *Payer) enter(most int64) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading++
	each := p.config.ReadAhead / int64(p.reading)
	// One more is in the receiver's hands, one in the reader's.
	return int(min(max(each/max(most, 1)-2, 0), 16))
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
func (c *call) receive(ctx context.Context, t *talk, pieces chan<- piece, quit <-chan struct{}) error {
	var late uint64
	for {
		due := 0
		if c.next < c.end {
			due = c.about.billed(c.next)
		}
		m, err := t.receive(ctx, uint64(due)) //nolint:gosec // never negative
		if err != nil {
			return err
		}
		if end := m.GetEnd(); end != nil {
			if err := endOf(end); err != nil {
				return err
			}
			if c.next < c.end && !closed(quit) {
				return fmt.Errorf("the transfer was ended %d segments early: %w", c.end-c.next, ErrOrder)
			}
			return t.pay(ctx, true)
		}
		if c.next >= c.end {
			return fmt.Errorf("a message after the last segment: %w", ErrOrder)
		}
		n, err := c.check.expect(c.next, m)
		if err != nil {
			return err
		}
		buf := c.payer.buffers.get(n)
		if err := t.s.ReadData(*buf); err != nil {
			c.payer.buffers.put(buf)
			return unavailable(err)
		}
		p, err := c.check.check(c.next, m, *buf)
		if err != nil {
			c.payer.buffers.put(buf)
			return err
		}
		p.buf = buf
		c.next++
		c.got += uint64(due) //nolint:gosec // a length
		// What is verified is counted, and what is counted is delivered, also if
		// the payee is gone by now.
		var unpaid error
		if t.tab != nil {
			t.tab.verified(due)
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
		c.payer.buffers.put(buf)
		if unpaid != nil {
			return unpaid
		}
		if late += uint64(due); late > lateBytes { //nolint:gosec // a length
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
func (c *call) abort(ctx context.Context) {
	t := c.talk
	c.talk = nil
	stop := context.AfterFunc(ctx, t.s.Reset)
	defer stop()
	quit := make(chan struct{})
	close(quit)
	err := t.stop()
	if err == nil {
		err = c.receive(ctx, t, nil, quit)
	}
	if err == nil || refused(err) {
		c.release(t)
		return
	}
	t.drop()
}

// Close signs for what was read, which the payee gets before Close returns, and
// gives back the stream. A request that was not read to its end is stopped.
// Its error is always nil: what could not be signed for stays due.
func (c *call) Close() error {
	t := c.talk
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.payer.config.SettleTimeout)
	defer cancel()
	if c.next < c.end {
		t.s.SetStepTimeout(c.payer.config.SettleTimeout)
		c.abort(ctx)
		return nil
	}
	c.talk = nil
	t.s.SetStepTimeout(c.payer.config.SettleTimeout)
	if err := t.settle(ctx); err != nil {
		t.drop()
		c.settleLater(t)
		return nil
	}
	t.party.put(t)
	return nil
}
