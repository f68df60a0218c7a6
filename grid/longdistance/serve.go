package longdistance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline/billing"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// request serves one request up to its End.
func (v *visit) request(r Request) {
	v.sent = 0
	file, err := v.begin(r)
	if err == nil {
		first, count := file.Geometry().Cover(r.Offset, r.Length)
		err = v.serve(file, first, count, r)
		if errors.Is(err, errStopped) {
			err = nil
		}
	}
	if err != nil {
		v.payee.config.Logger.Debug("request failed", "peer_id", v.s.Remote().String(), "error", err)
	}
	v.idle.Reset(v.payee.config.IdleTimeout)
	v.running.Store(false)
	// If the End does not arrive, the receiving side sees why.
	_ = v.send(endMessage(err))
	if file != nil {
		if err := file.Close(); err != nil {
			v.payee.config.Logger.Warn("closing a file failed", "error", err)
		}
	}
}

// begin checks a request, finds its file and announces it.
func (v *visit) begin(r Request) (File, error) {
	c := v.payee.config
	if c.Allow != nil {
		if err := c.Allow(v.ctx, r.Payer); err != nil {
			return nil, denied(err)
		}
	}
	switch {
	case v.free:
		if err := v.payee.booth.lookup(r.Payer); err != nil {
			return nil, err
		}
	case v.line == nil:
		return nil, fmt.Errorf("this node charges and asks for an approval first: %w", p2p.ErrDenied)
	}
	if err := affordable(v.tariff.Value, r); err != nil {
		return nil, err
	}
	// The look-up is let go before it is done, so that many at once cannot get
	// by on one account.
	if err := v.await(r, 0); err != nil {
		return nil, err
	}
	file, err := c.Source.Open(v.ctx, r)
	if err != nil {
		return nil, err
	}
	g := file.Geometry()
	first, count := g.Cover(r.Offset, r.Length)
	if err := v.afford(r, lengthOf(file, first, count)); err != nil {
		return file, err
	}
	return file, v.send(&pb.FromPayee{Message: &pb.FromPayee_Begin{Begin: &pb.Begin{
		Ueb: file.UEB(), First: uint64(first), Count: uint64(count), //nolint:gosec // neither is negative
	}}})
}

// lengthOf is how many bytes some segments of a file have.
func lengthOf(f File, first, count int) uint64 {
	if count == 0 {
		return 0
	}
	g := f.Geometry()
	return min(g.SegmentOffset(first+count), g.Size) - g.SegmentOffset(first)
}

// afford holds what the segments cost against the request's own limit.
func (v *visit) afford(r Request, bytes uint64) error {
	if r.MaxCredits == 0 || v.free {
		return nil
	}
	cost, err := priceOf(v.tariff.Value, bytes)
	if err != nil || cost > r.MaxCredits {
		return tooDear(v.tariff.Value, bytes, cost, r.MaxCredits)
	}
	return nil
}

// serve sends segments as they come and as the payer pays.
func (v *visit) serve(file File, first, count int, r Request) error {
	if count == 0 {
		return nil
	}
	leaves := file.Geometry().Segments
	message := &pb.Segment{}
	frame := &pb.FromPayee{Message: &pb.FromPayee_Segment{Segment: message}}
	next := first
	return file.Read(v.ctx, first, count, func(s transfer.Segment) error {
		if v.stopped.Load() {
			return errStopped
		}
		if s.Index != next {
			return fmt.Errorf("segment %d came for %d: %w", s.Index, next, p2p.ErrInternal)
		}
		next++
		message.Index = uint64(s.Index) //nolint:gosec // never negative
		message.Chain = freshChain(s.Chain, first, s.Index, leaves)
		message.Length = uint32(len(s.Data)) //nolint:gosec // at most maxSegment
		if message.Chain == nil && freshHeights(first, s.Index, depthOf(leaves)) > 0 {
			return fmt.Errorf("segment %d came without its proof: %w", s.Index, p2p.ErrInternal)
		}
		if err := v.await(r, len(s.Data)); err != nil {
			return err
		}
		v.sent += uint64(len(s.Data))
		return v.sendData(frame, s.Data)
	})
}

// await waits until n more bytes may go out, or one look-up if n is 0, and
// counts them.
func (v *visit) await(r Request, n int) error {
	if v.free {
		if n == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(v.ctx, r.patience())
		defer cancel()
		return v.payee.booth.send(ctx, r.Payer, n)
	}
	var timeout <-chan time.Time
	for {
		verdict, moved, window, err := v.claim(uint64(n)) //nolint:gosec // a length
		if err != nil || verdict == billing.Send {
			return err
		}
		if timeout == nil {
			timer := time.NewTimer(v.payee.config.SignTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		if err := v.send(&pb.FromPayee{Message: &pb.FromPayee_Due{Due: &pb.Due{
			Window: window, Renewal: verdict != billing.Wait,
		}}}); err != nil {
			return err
		}
		select {
		case <-moved:
		case <-v.ctx.Done():
			return v.ctx.Err()
		case <-timeout:
			return v.unsigned(verdict)
		}
		if v.stopped.Load() {
			return errStopped
		}
	}
}

// claim counts n bytes, or a look-up, if they may go out now. Otherwise moved
// is closed when that may have changed.
func (v *visit) claim(n uint64) (verdict billing.Verdict, moved <-chan struct{}, window int64, err error) {
	now := v.payee.config.Now()
	d := v.line.debtor
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.line.broken != nil {
		return 0, nil, 0, v.line.broken
	}
	meter := v.line.meter
	if n == 0 {
		if verdict = meter.MayLookUp(now); verdict == billing.Send {
			meter.LookedUp()
		}
	} else if verdict = meter.MaySend(n, now); verdict == billing.Send {
		meter.Sent(n)
	}
	return verdict, d.moved, d.effective(), nil
}

// unsigned says what the payer did not do in time.
func (v *visit) unsigned(verdict billing.Verdict) error {
	d := v.line.debtor
	d.mu.Lock()
	defer d.mu.Unlock()
	a := v.line.meter.Approval()
	switch verdict {
	case billing.Expired:
		return fmt.Errorf("the approval is over and was not renewed: %w", p2p.ErrExpired)
	case billing.Spent:
		return fmt.Errorf("the approval's cap of %d bytes and %s %s is reached and was not raised: %w",
			a.CapBytes, a.CapCredits, v.tariff.Value.Currency, p2p.ErrUnpaid)
	default:
		return fmt.Errorf("%d bytes wait for a voucher, with a window of %d: %w", d.window.Exposure(), d.window.Limit(), ErrUnsigned)
	}
}
