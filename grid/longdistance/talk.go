package longdistance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/longdistance/pb"
	"trunkline/p2p"
)

// talk is one stream from a payer to a payee. Between requests it lies in the
// payee's party; during one it belongs to the request, whose one receiving
// goroutine calls everything here but stop.
type talk struct {
	payer *Payer
	party *party
	s     Stream
	fresh bool // never carried a request: an error is the payee's, not old age

	sending lock // vouchers and Stop come from two goroutines

	tab       *tab // nil while toll-free
	approvers []p2p.Peer
	area      caps.AreaCode
	free      bool // greeted without an approval
	approval  [32]byte
	pending   []flown // waiting for Acks, in order
	// renewed: a renewal was answered, and nothing came since but one Due at
	// most may, which was decided on before and sent after.
	renewed bool

	idleSince time.Time
}

// refusal is a failure that the payee sent in an End: the stream is still good.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// refused says whether err left the stream in order.
func refused(err error) bool { return errors.As(err, new(*refusal)) }

func (t *talk) send(m *pb.FromPayer) error {
	t.sending.take()
	defer t.sending.give()
	return t.s.Send(m)
}

// receive returns the next message that is not about payment, having dealt
// with those that are. segment is the length of the next segment, 0 if none is
// expected.
func (t *talk) receive(ctx context.Context, segment uint64) (*pb.FromPayee, error) {
	for {
		m := new(pb.FromPayee)
		if err := t.s.Receive(m, maxMessage); err != nil {
			if err == io.EOF { //nolint:errorlint // the exact value is p2p's promise
				err = errors.New("the payee ended the stream")
			}
			return nil, unavailable(err)
		}
		switch {
		case m.GetAck() != nil:
			if err := t.acked(ctx, m.GetAck()); err != nil {
				return nil, err
			}
		case m.GetDue() != nil:
			if err := t.due(ctx, m.GetDue(), segment); err != nil {
				return nil, err
			}
		case m.GetMessage() == nil:
			return nil, fmt.Errorf("an empty message: %w", ErrOrder)
		default:
			t.renewed = false
			return m, nil
		}
	}
}

// endOf returns what an End says: nil, or a refusal.
func endOf(m *pb.End) error {
	if err := p2p.FromFailure(m.GetFailure()); err != nil {
		return &refusal{err}
	}
	return nil
}

// hello opens a channel, or asks for the tariff if approval is empty.
func (t *talk) hello(ctx context.Context, approval []byte, area caps.AreaCode) (*pb.Welcome, error) {
	if err := t.send(&pb.FromPayer{Message: &pb.FromPayer_Hello{Hello: &pb.Hello{Approval: approval, Area: areaBytes(area)}}}); err != nil {
		return nil, err
	}
	m, err := t.receive(ctx, 0)
	switch {
	case err != nil:
		return nil, err
	case m.GetEnd() != nil:
		if err := endOf(m.GetEnd()); err != nil {
			return nil, err
		}
		return nil, ErrOrder
	case m.GetWelcome() == nil:
		return nil, ErrOrder
	}
	return m.GetWelcome(), nil
}

// acked takes the answer to the oldest voucher or renewal, and pays again if
// enough has come together meanwhile.
func (t *talk) acked(ctx context.Context, m *pb.Ack) error {
	if len(t.pending) == 0 {
		return fmt.Errorf("an answer to nothing: %w", ErrOrder)
	}
	f := t.pending[0]
	t.pending = t.pending[1:]
	if err := t.tab.answered(t, f, m); err != nil {
		return err
	}
	t.renewed = t.renewed || f == aRenewal
	if f == aVoucher {
		v := t.tab.signed()
		t.payer.config.Approvals.Used(v.Channel, v.Bytes)
	}
	return t.pay(ctx, len(m.GetLatest()) > 0)
}

// due pays what the payee waits for, or gets the approval that it wants.
func (t *talk) due(ctx context.Context, m *pb.Due, segment uint64) error {
	if t.tab == nil {
		return fmt.Errorf("asked to pay without a channel: %w", ErrOrder)
	}
	if m.GetRenewal() {
		if slices.Contains(t.pending, aRenewal) || t.renewed {
			t.renewed = false
			return nil // it crossed with one
		}
		return t.renew(ctx)
	}
	if err := t.tab.due(t, segment, m.GetWindow()); err != nil {
		return err
	}
	return t.pay(ctx, true)
}

// pay signs for what is verified, if it is time or all is set, and puts a
// newer approval in front of it.
func (t *talk) pay(ctx context.Context, all bool) error {
	if t.tab == nil {
		return nil
	}
	m, err := t.tab.sign(t, all)
	if errors.Is(err, billing.ErrCapReached) {
		// The payee sends nothing beyond the cap without a renewal, so what
		// cannot be signed for now is at most what is to be signed ahead.
		if err := t.renew(ctx); err != nil {
			return err
		}
		m, err = t.tab.sign(t, all)
	}
	if err != nil {
		return t.tab.capError(err)
	}
	if m == nil {
		return nil
	}
	// A larger approval may have come in the background.
	if a, ok := t.payer.config.Approvals.Latest(t.tab.channel()); ok {
		if err := t.tab.renew(a); err != nil {
			return err
		}
	}
	if err := t.present(); err != nil {
		return err
	}
	t.pending = append(t.pending, aVoucher)
	return t.send(m)
}

// present sends the newest approval, unless the payee has it from this stream.
func (t *talk) present() error {
	a := t.tab.newest()
	hash := a.Hash()
	if hash == t.approval {
		return nil
	}
	t.approval = hash
	t.pending = append(t.pending, aRenewal)
	return t.send(&pb.FromPayer{Message: &pb.FromPayer_Renewal{Renewal: &pb.Renewal{Approval: a.Bytes}}})
}

// renew asks for a newer approval at once, and presents it.
func (t *talk) renew(ctx context.Context) error {
	before := t.tab.newest()
	if before.Hash() != t.approval {
		return t.present()
	}
	// What an earlier process of this payer signed for counts too, and only the
	// payee could say so.
	v := t.tab.signed()
	t.payer.config.Approvals.Used(v.Channel, v.Bytes)
	// Room that is left by our count, the payee has given to other streams and
	// processes of this payer, which have yet to sign.
	room := before.Value.CapBytes - min(v.Bytes, before.Value.CapBytes)
	a, err := t.payer.config.Approvals.Get(ctx, account.Need{
		Approvers: t.approvers, Payee: t.party.key, PayeeArea: t.area, Tariff: t.tab.tariff, Bytes: room + renewBytes,
	})
	if err != nil {
		return unpaid(err)
	}
	if a.Value.Channel != before.Value.Channel {
		return t.tab.capError(errors.New("the approver opened another channel; ask again"))
	}
	if err := t.tab.renew(a); err != nil {
		return err
	}
	if a.Hash() == before.Hash() {
		return t.tab.capError(errors.New("no larger one was granted"))
	}
	return t.present()
}

// request asks for a range and returns what describes the file, which is
// verified and agrees with the range.
func (t *talk) request(ctx context.Context, r Request) (subject, error) {
	t.s.SetStepTimeout(r.patience())
	if err := t.send(requestMessage(r)); err != nil {
		return nil, err
	}
	m, err := t.receive(ctx, 0)
	if err != nil {
		return nil, err
	}
	if m.GetEnd() != nil {
		err := endOf(m.GetEnd())
		if err == nil {
			err = fmt.Errorf("a request was ended before it began: %w", ErrOrder)
		}
		if t.tab != nil && errors.Is(err, p2p.ErrNotFound) {
			t.tab.lookedUp() // looking cost the payee as much as finding
		}
		return nil, err
	}
	b := m.GetBegin()
	if b == nil {
		return nil, ErrOrder
	}
	about, unfit, err := r.shown(b)
	if err != nil {
		return nil, err
	}
	first, count := 0, 0
	if unfit == nil {
		first, count = about.cover(r.Offset, r.Length)
	}
	if b.GetFirst() != uint64(first) || b.GetCount() != uint64(count) { //nolint:gosec // neither is negative
		return nil, fmt.Errorf("%d segments from %d on were asked for, %d from %d on are announced: %w", count, first, b.GetCount(), b.GetFirst(), ErrOrder)
	}
	if t.tab != nil {
		if err := withinLimit(t.tab.tariff.Value, r, bill(about, first, count)); err != nil {
			return nil, err
		}
		t.tab.lookedUp()
		t.tab.paid(t)
	}
	if count > 0 {
		return about, nil
	}
	if err := t.expectEnd(ctx); err != nil {
		return nil, err
	}
	if unfit != nil {
		return nil, &refusal{unfit}
	}
	return about, nil
}

// expectEnd receives the End of a request that brings no segments.
func (t *talk) expectEnd(ctx context.Context) error {
	m, err := t.receive(ctx, 0)
	if err != nil {
		return err
	}
	if m.GetEnd() == nil {
		return ErrOrder
	}
	return endOf(m.GetEnd())
}

// stop asks the payee to end the running request. It may be called while
// another goroutine receives.
func (t *talk) stop() error {
	return t.send(&pb.FromPayer{Message: &pb.FromPayer_Stop{Stop: &pb.Stop{}}})
}

// settle signs for everything that is verified on the channel and waits until
// the payee has it. No request is running.
func (t *talk) settle(ctx context.Context) error {
	if t.tab == nil {
		return nil
	}
	defer context.AfterFunc(ctx, t.s.Reset)()
	for {
		if err := t.pay(ctx, true); err != nil {
			return err
		}
		if len(t.pending) > 0 {
			if err := t.answer(ctx); err != nil {
				return err
			}
			continue
		}
		due, busy := t.tab.open()
		switch {
		case !due:
			return nil
		case busy == nil:
			continue // another stream's turn just ended
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answer receives one Ack.
func (t *talk) answer(ctx context.Context) error {
	m := new(pb.FromPayee)
	if err := t.s.Receive(m, maxMessage); err != nil {
		return err
	}
	switch {
	case m.GetAck() != nil:
		return t.acked(ctx, m.GetAck())
	case m.GetDue() != nil:
		return nil // it crossed with what it asks for
	case m.GetEnd() != nil:
		if err := endOf(m.GetEnd()); err != nil {
			return err
		}
	}
	return ErrOrder
}

// drop ends the stream for good.
func (t *talk) drop() {
	t.s.Reset()
	if t.tab != nil {
		t.tab.left(t)
		t.pending = nil
	}
}
