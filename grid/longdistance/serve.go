package longdistance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline/billing"
	"trunkline/grid/longdistance/pb"
	"trunkline/p2p"
)

// request serves one request up to its End.
func (v *visit) request(r Request) {
	v.sent = 0
	file, first, count, err := v.begin(r)
	if err == nil && count > 0 {
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

// begin checks a request, finds its file and announces which segments follow.
// The file, if there is one, is to be closed also after an error.
func (v *visit) begin(r Request) (file served, first, count int, err error) {
	c := v.payee.config
	if c.Allow != nil {
		if err := c.Allow(v.ctx, r.Payer); err != nil {
			return nil, 0, 0, denied(err)
		}
	}
	switch {
	case v.free:
		if err := v.payee.booth.lookup(v.ctx, r.Payer); err != nil {
			return nil, 0, 0, err
		}
	case v.line == nil:
		return nil, 0, 0, fmt.Errorf("this node charges and asks for an approval first: %w", p2p.ErrDenied)
	}
	if err := affordable(v.tariff.Value, r); err != nil {
		return nil, 0, 0, err
	}
	// The look-up is let go before it is done, so that many at once cannot get
	// by on one account.
	if err := v.await(r, 0); err != nil {
		return nil, 0, 0, err
	}
	defer func() {
		if err != nil && p2p.KindOf(err) != p2p.NotFound {
			v.unclaim()
		}
	}()
	file, unfit, err := v.open(r)
	if err != nil {
		return nil, 0, 0, err
	}
	if unfit == nil {
		if file.segments() > 0 && file.billed(0) > maxSegment {
			return file, 0, 0, tooLarge(file.billed(0))
		}
		first, count = file.cover(r.Offset, r.Length)
	}
	if !v.free {
		if err := withinLimit(v.tariff.Value, r, bill(file, first, count)); err != nil {
			return file, 0, 0, err
		}
	}
	return file, first, count, v.send(&pb.FromPayee{Message: &pb.FromPayee_Begin{Begin: file.begin(first, count)}})
}

// open finds what is asked for. unfit says why it is not a version that was asked
// for: the payer is shown what there is, and no more.
func (v *visit) open(r Request) (file served, unfit, err error) {
	source := v.payee.config.Source
	if r.Mutable == nil {
		f, err := source.Open(v.ctx, r)
		if err != nil {
			return nil, nil, err
		}
		return serveFile(f), nil, nil
	}
	mutable, ok := source.(MutableSource)
	if !ok {
		return nil, nil, fmt.Errorf("this node has no mutable files: %w", p2p.ErrUnsupported)
	}
	f, err := mutable.OpenMutable(v.ctx, r)
	if err != nil {
		return nil, nil, err
	}
	return serveVersion(f), r.Mutable.fits(f.Header()), nil
}

// serve sends segments as they come and as the payer pays.
func (v *visit) serve(file served, first, count int, r Request) error {
	next := first
	return file.read(v.ctx, first, count, func(i int, m *pb.FromPayee, data []byte) error {
		if v.stopped.Load() {
			return errStopped
		}
		if i != next {
			return fmt.Errorf("segment %d came for %d: %w", i, next, p2p.ErrInternal)
		}
		next++
		n := file.billed(i)
		if err := v.await(r, n); err != nil {
			return err
		}
		v.sent += uint64(n) //nolint:gosec // a length
		return v.sendData(m, data)
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

// unclaim takes back a look-up that ended in neither Begin nor the answer that
// nobody has the file: the payer does not count it.
func (v *visit) unclaim() {
	if v.free {
		return
	}
	d := v.line.debtor
	d.mu.Lock()
	defer d.mu.Unlock()
	v.line.meter.LookupFailed()
	d.stir()
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
