package longdistance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/longdistance/pb"
	"trunkline/p2p"
)

// visit is one stream at a payee. One goroutine receives; while a request runs,
// another sends its segments.
type visit struct {
	payee *Payee
	s     Stream
	ctx   context.Context

	sending lock
	idle    *time.Timer // resets a stream on which the payer is silent for too long

	line    *line                         // nil before Hello, and while toll-free
	channel billing.ChannelID             // of line
	tariff  sealed.Sealed[billing.Tariff] // of line, or the one in force
	free    bool                          // greeted without an approval, under a toll-free tariff

	running atomic.Bool // a request runs, up to its End
	stopped atomic.Bool // and the payer wants no more of it
	sent    uint64      // bytes of the request; written by its goroutine, read when it has ended
}

// errStopped ends a request that the payer stopped.
var errStopped = errors.New("stopped by the payer")

// toldError is an error that the payer has been told of.
type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }

// noTimeout is the step timeout of a payee's stream: its own timers know more.
const noTimeout = 365 * 24 * time.Hour

func newVisit(ctx context.Context, p *Payee, s Stream) *visit {
	s.SetStepTimeout(noTimeout)
	return &visit{payee: p, s: s, ctx: ctx, sending: newLock(), idle: time.AfterFunc(p.config.SignTimeout, s.Reset)}
}

// send sends one message.
func (v *visit) send(m *pb.FromPayee) error { return v.sendData(m, nil) }

// sendData sends one message and its data. A payer that does not take it in
// time loses the stream.
func (v *visit) sendData(m *pb.FromPayee, data []byte) error {
	v.sending.take()
	defer v.sending.give()
	limit := v.payee.config.SignTimeout * time.Duration(1+len(data)>>20)
	defer time.AfterFunc(limit, v.s.Reset).Stop()
	return v.s.SendData(m, data)
}

// listen receives until the stream ends. It returns io.EOF if the payer ended
// it, and otherwise why it is of no more use.
func (v *visit) listen(requests *sync.WaitGroup) error {
	// One request may run while the file of the one before is being closed.
	slots := make(chan struct{}, 2)
	for {
		m := new(pb.FromPayer)
		if err := v.s.Receive(m, maxMessage); err != nil {
			return err
		}
		if err := v.take(m, requests, slots); err != nil {
			if v.send(endMessage(err)) == nil {
				err = &toldError{err}
			}
			return err
		}
	}
}

// take deals with one message. Its error ends the stream.
func (v *visit) take(m *pb.FromPayer, requests *sync.WaitGroup, slots chan struct{}) error {
	switch {
	case m.GetVoucher() != nil:
		return v.voucher(m.GetVoucher())
	case m.GetRenewal() != nil:
		return v.renewal(m.GetRenewal())
	case m.GetStop() != nil:
		v.stopped.Store(true) // one that crosses with End is reset by the next Request
		return nil
	}
	if v.running.Load() {
		return fmt.Errorf("a second request on one stream: %w", ErrOrder)
	}
	switch {
	case m.GetHello() != nil:
		requests.Wait() // the last one's bytes are counted on its own channel
		return v.hello(m.GetHello())
	case m.GetRequest() != nil:
		r, err := parseRequest(m.GetRequest(), v.s.Remote())
		if err != nil {
			return err
		}
		select {
		case slots <- struct{}{}:
		case <-v.ctx.Done():
			return v.ctx.Err()
		}
		v.idle.Stop()
		v.running.Store(true)
		v.stopped.Store(false)
		requests.Go(func() {
			defer func() { <-slots }()
			v.request(r)
		})
		return nil
	}
	return fmt.Errorf("an empty message: %w", ErrOrder)
}

// hello opens a channel, or says what is charged. What is refused is told in an
// End; the payer may try again on the same stream.
func (v *visit) hello(m *pb.Hello) error {
	welcome, err := v.greet(m)
	v.idle.Reset(v.payee.config.SignTimeout)
	if err != nil {
		return v.send(endMessage(err))
	}
	return v.send(&pb.FromPayee{Message: &pb.FromPayee_Welcome{Welcome: welcome}})
}

func (v *visit) greet(m *pb.Hello) (*pb.Welcome, error) {
	c := v.payee.config
	if len(m.GetArea()) > 0 && !c.Area.IsZero() {
		want, err := parseArea(m.GetArea())
		if err != nil {
			return nil, err
		}
		if want != c.Area {
			return nil, fmt.Errorf("this node serves area %s, not %s: %w", c.Area.Short(), want.Short(), p2p.ErrNotFound)
		}
	}
	current, err := c.Tariff()
	if err != nil {
		return nil, fmt.Errorf("no tariff is in force here: %w: %w", err, p2p.ErrUnavailable)
	}
	v.leaveLine()
	if len(m.GetApproval()) == 0 {
		v.tariff, v.free = current, current.Value.TollFree
		return &pb.Welcome{Tariff: current.Bytes}, nil
	}
	a, tariff, err := v.approval(m.GetApproval(), current)
	if err != nil {
		return nil, err
	}
	l, err := v.payee.books.open(a, tariff)
	if err != nil {
		if l != nil {
			l.leave(0)
		}
		return nil, err
	}
	v.line, v.channel, v.tariff, v.free = l, a.Value.Channel, tariff, false
	welcome := &pb.Welcome{Tariff: tariff.Bytes, Window: l.window()}
	if o, ok := c.Vouchers.Latest(v.channel); ok {
		welcome.Voucher = o.Voucher.Bytes
	}
	return welcome, nil
}

// approval opens an approval and checks everything about it that does not
// depend on the channel's past.
func (v *visit) approval(envelope []byte, current sealed.Sealed[billing.Tariff]) (a sealed.Sealed[billing.Approval], t sealed.Sealed[billing.Tariff], err error) {
	c := v.payee.config
	if c.Approver == nil {
		return a, t, fmt.Errorf("no approvals are honoured here: %w", p2p.ErrDenied)
	}
	if a, err = sealed.Open[billing.Approval](envelope); err != nil {
		return a, t, fmt.Errorf("approval: %w: %w", err, p2p.ErrDenied)
	}
	if a.Value.Payer != v.s.Remote() || a.Value.Payee != c.Key {
		return a, t, fmt.Errorf("the approval is for another payer or payee: %w", p2p.ErrDenied)
	}
	if err := c.Approver(a.Value.Approver, a.Value.Epoch); err != nil {
		return a, t, fmt.Errorf("approver %s: %w", shortKey(a.Value.Approver), denied(err))
	}
	if err := a.Value.CheckTime(c.Now()); err != nil {
		return a, t, fmt.Errorf("%w: %w", err, p2p.ErrExpired)
	}
	t = current
	if a.Value.CheckTariff(t) != nil && c.OldTariff != nil {
		if old, ok := c.OldTariff(a.Value.Tariff); ok {
			t = old
		}
	}
	if err := a.Value.CheckTariff(t); err != nil {
		return a, t, fmt.Errorf("the approval is for a tariff that is not in force; look the area up again: %w: %w", err, p2p.ErrConflict)
	}
	return a, t, nil
}

// denied gives an error without a kind the kind Denied.
func denied(err error) error {
	if p2p.KindOf(err) == p2p.Internal {
		return fmt.Errorf("%w: %w", err, p2p.ErrDenied)
	}
	return err
}

// renewal puts a newer approval of the same channel in force.
func (v *visit) renewal(m *pb.Renewal) error {
	if v.line == nil {
		return fmt.Errorf("a renewal without a channel: %w", ErrOrder)
	}
	a, _, err := v.approval(m.GetApproval(), v.tariff)
	if err != nil {
		return err
	}
	d := v.line.debtor
	d.mu.Lock()
	err = v.line.renew(a.Value)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return v.send(&pb.FromPayee{Message: &pb.FromPayee_Ack{Ack: &pb.Ack{Window: v.line.window()}}})
}

// voucher takes a voucher and answers it.
func (v *visit) voucher(m *pb.Voucher) error {
	if v.line == nil {
		return fmt.Errorf("a voucher without a channel: %w", ErrOrder)
	}
	sv, err := sealed.OpenFrom[billing.Voucher](v.s.Remote(), m.GetEnvelope())
	if err != nil {
		return fmt.Errorf("voucher: %w: %w", err, p2p.ErrMalformed)
	}
	log := v.payee.config.Vouchers
	base := billing.Mark{Bytes: m.GetBaseBytes(), Lookups: m.GetBaseLookups()}
	o, stale, err := v.line.accept(log, sv, base, m.GetAhead())
	if err != nil {
		return err
	}
	ack := &pb.Ack{Window: v.line.window()}
	if stale {
		// There is one: without any, a base of nothing would not be stale, and
		// any other is not one that we gave.
		latest, ok := log.Latest(v.channel)
		if !ok {
			return fmt.Errorf("a voucher on top of one that never was: %w", p2p.ErrConflict)
		}
		ack.Latest = latest.Voucher.Bytes
	} else if v.payee.config.Owed != nil {
		v.payee.config.Owed(o)
	}
	return v.send(&pb.FromPayee{Message: &pb.FromPayee_Ack{Ack: ack}})
}

// leaveLine gives up the stream's channel.
func (v *visit) leaveLine() {
	if v.line != nil {
		v.line.leave(v.sent)
		v.line, v.channel, v.sent = nil, billing.ChannelID{}, 0
	}
	v.free = false
}

// Exposure returns what each payer account owes unsigned now, in bytes, and its
// window, for pages and tests.
func (p *Payee) Exposure() map[caps.PublicKey]Exposure {
	p.books.mu.Lock()
	defer p.books.mu.Unlock()
	all := make(map[caps.PublicKey]Exposure, len(p.books.accounts))
	for account, d := range p.books.accounts {
		d.mu.Lock()
		all[account] = Exposure{Bytes: d.window.Exposure(), Window: d.window.Limit()}
		d.mu.Unlock()
	}
	return all
}

// Exposure is what a payee would lose if an account never signed again.
type Exposure struct {
	Bytes  uint64
	Window int64
}
