package longdistance

import (
	"errors"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/longdistance/pb"
	"trunkline/p2p"
)

// maxVoucherStep is the most verified bytes that stay unsigned while a request
// runs.
const maxVoucherStep = 4 << 20

// maxConflicts is how many vouchers in a row a payee may refuse because another
// process of the same payer was faster.
const maxConflicts = 64

// tab is a payer's side of one channel, shared by all its streams.
//
// One voucher at a time waits for an answer. The stream that carries it signs
// again when the answer is in; the others leave what they have verified to it,
// or wait until it is their turn.
type tab struct {
	key    crypto.PrivKey
	signer caps.PublicKey
	tariff sealed.Sealed[billing.Tariff]
	// maxAhead is the most that is signed ahead for one stream, whatever the
	// payee says its window is.
	maxAhead uint64

	mu        sync.Mutex
	meter     *billing.Payer
	approval  sealed.Sealed[billing.Approval] // the newest
	window    int64                           // the most room there was
	carrier   *talk                           // has the voucher that waits for an answer; nil: none does
	maybe     bool                            // something may be due; false: nothing is
	waiting   map[*talk]uint64                // streams whose payee waits to be paid, and how far to be ahead for them
	turn      chan struct{}                   // closed when carrier becomes nil
	conflicts int                             // in a row
}

// flown is what waits for an Ack.
type flown int

const (
	aVoucher flown = iota
	aRenewal
)

func newTab(key crypto.PrivKey, signer caps.PublicKey, a sealed.Sealed[billing.Approval], t sealed.Sealed[billing.Tariff], maxAhead uint64) (*tab, error) {
	meter, err := billing.NewPayer(a.Value, t)
	if err != nil {
		return nil, err
	}
	return &tab{
		key: key, signer: signer, tariff: t, maxAhead: maxAhead, meter: meter, approval: a,
		waiting: make(map[*talk]uint64), turn: make(chan struct{}),
	}, nil
}

// renew takes a newer approval of the same channel.
func (b *tab) renew(a sealed.Sealed[billing.Approval]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if older(a.Value, b.approval.Value) {
		return nil
	}
	if err := b.meter.Renew(a.Value); err != nil {
		return fmt.Errorf("renewed approval: %w", err)
	}
	b.approval = a
	return nil
}

// adopt takes what a Welcome says.
func (b *tab) adopt(m *pb.Welcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window = m.GetWindow()
	if len(m.GetVoucher()) == 0 {
		return nil
	}
	v, err := b.own(m.GetVoucher())
	if err != nil {
		return err
	}
	if err := b.meter.Adopt(v); err != nil {
		return fmt.Errorf("%w: %w", ErrForeignVoucher, err)
	}
	return nil
}

// own opens a voucher that the payee shows as ours.
func (b *tab) own(envelope []byte) (billing.Voucher, error) {
	v, err := sealed.OpenFrom[billing.Voucher](b.signer, envelope)
	if err != nil {
		return billing.Voucher{}, fmt.Errorf("%w: %w", ErrForeignVoucher, err)
	}
	return v.Value, nil
}

// verified counts bytes that passed every check.
func (b *tab) verified(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meter.Verified(uint64(n))
	b.maybe = true
}

// lookedUp counts an answered look-up.
func (b *tab) lookedUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meter.LookedUp()
	b.maybe = true
}

// due notes that t's payee, whose window is window, waits for payment before
// its next segment, of n bytes.
func (b *tab) due(t *talk, n uint64, window int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window = window
	ahead := aheadOf(n, window)
	if ahead > b.maxAhead {
		return fmt.Errorf("it asks to be paid %d bytes ahead, over the limit of %d: %w", ahead, b.maxAhead, p2p.ErrRefused)
	}
	b.wait(t, ahead)
	return nil
}

// paid notes that t's payee waits no longer.
func (b *tab) paid(t *talk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.waiting[t]; ok {
		b.wait(t, 0)
		delete(b.waiting, t)
	}
}

// wait sets what is to be signed ahead for t.
func (b *tab) wait(t *talk, ahead uint64) {
	b.waiting[t] = ahead
	b.maybe = true
	b.meter.SetAhead(b.ahead())
}

// ahead is what is to be signed ahead for all streams.
func (b *tab) ahead() uint64 {
	var sum uint64
	for _, n := range b.waiting {
		sum += n
	}
	return sum
}

// aheadOf is how much must be signed ahead for a segment of n bytes: what does
// not fit the window once all that is verified is signed for.
func aheadOf(n uint64, window int64) uint64 {
	if window <= 0 {
		return n + uint64(-window)
	}
	return n - min(n, uint64(window))
}

// step is how many verified bytes may stay unsigned while requests run.
func (b *tab) step() uint64 { return max(min(maxVoucherStep, uint64(max(b.window, 0))/4), 1) }

// sign makes the next voucher for t to send, or nil if none is due: if less
// than a step is unsigned and nobody waits, unless all is set; or while another
// waits for its answer. Errors: billing.ErrCapReached.
func (b *tab) sign(t *talk, all bool) (*pb.FromPayer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.carrier != nil {
		return nil, nil
	}
	if !all && len(b.waiting) == 0 && b.meter.Unsigned() < b.step() {
		return nil, nil
	}
	v, base, err := b.meter.Next()
	if errors.Is(err, billing.ErrNothingDue) {
		b.maybe = false
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	envelope, err := sealed.Seal(b.key, v)
	if err != nil {
		b.meter.Lost()
		return nil, fmt.Errorf("signing: %w", err)
	}
	b.carrier = t
	return &pb.FromPayer{Message: &pb.FromPayer_Voucher{Voucher: &pb.Voucher{
		BaseBytes: base.Bytes, BaseLookups: base.Lookups, Envelope: envelope.Bytes, Ahead: max(b.ahead(), b.meter.Ahead()),
	}}}, nil
}

// answered takes the payee's answer to f.
func (b *tab) answered(t *talk, f flown, m *pb.Ack) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window = m.GetWindow()
	if f == aRenewal {
		return nil
	}
	b.release()
	if len(m.GetLatest()) == 0 {
		b.conflicts = 0
		return b.meter.Accepted()
	}
	b.maybe = true
	latest, err := b.own(m.GetLatest())
	if err == nil {
		err = b.meter.Conflict(latest)
	}
	if err == nil {
		if b.conflicts++; b.conflicts > maxConflicts {
			err = errors.New("it takes none of our vouchers")
		}
	}
	if err != nil {
		b.meter.Lost()
		return fmt.Errorf("%w: %w", ErrForeignVoucher, err)
	}
	return nil
}

// release lets another voucher go out. The caller holds mu.
func (b *tab) release() {
	b.carrier = nil
	close(b.turn)
	b.turn = make(chan struct{})
}

// left forgets a stream that will get no more answers.
func (b *tab) left(t *talk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.carrier == t {
		b.meter.Lost()
		b.maybe = true
		b.release()
	}
	if _, ok := b.waiting[t]; ok {
		b.wait(t, 0)
		delete(b.waiting, t)
	}
}

// open says whether anything may be due, and whose turn it is: busy is closed
// when another stream has got its answer, nil if none waits for one.
func (b *tab) open() (due bool, busy <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.carrier != nil {
		busy = b.turn
	}
	return b.maybe, busy
}

// channel is which channel it is.
func (b *tab) channel() billing.ChannelID { return b.newest().Value.Channel }

// signed is the last voucher that the payee took.
func (b *tab) signed() billing.Voucher {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.meter.Latest()
}

// newest returns the approval in force.
func (b *tab) newest() sealed.Sealed[billing.Approval] {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.approval
}

// capError puts a reached cap into words.
func (b *tab) capError(cause error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, v := b.meter.Approval(), b.meter.Latest()
	return fmt.Errorf("the approval for this payee is used up: %d of %d bytes and %s of %s %s signed for; ask the approver for more or wait for the next period: %w: %w",
		v.Bytes, a.LimitBytes(), v.Credits, a.LimitCredits(), b.tariff.Value.Currency, cause, p2p.ErrUnpaid)
}
