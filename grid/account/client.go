package account

import (
	"context"
	"errors"
	"fmt"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account/pb"
	"trunkline/p2p"
)

// A Host opens streams as one key. [p2p.Host] is one.
type Host interface {
	p2p.Opener
	Key() caps.PublicKey
}

// A Client speaks to approvers. What comes back was checked against what was
// asked: an approver can refuse, but not slip in another object. Refusals are
// [p2p.RemoteError]s and match p2p's kinds and this package's sentinels where
// those are plain from the kind: Unpaid is ErrCredit, Conflict is ErrTariff.
//
// Safe for concurrent use. It keeps nothing open between calls.
type Client struct{ host Host }

// NewClient speaks as the host's key.
func NewClient(h Host) *Client { return &Client{host: h} }

// An Ask is what a payer wants approved.
type Ask struct {
	// Payee is whom to pay, PayeeArea the area it serves.
	Payee     caps.PublicKey
	PayeeArea caps.AreaCode
	// Tariff is the sealed tariff, as the area publishes it.
	Tariff []byte
	// Credential proves the payer's grid; nil for one's own manager.
	Credential []byte
	// UsedBytes is what was signed for on the channel so far, as far as the payer knows.
	UsedBytes uint64
	// WantBytes is wanted beyond that; 0 leaves it to the approver.
	WantBytes uint64
	// Renew is the channel to carry on, zero for the present period's.
	Renew billing.ChannelID
}

// Approve asks for an approval for the host's key, or renews and raises the one
// there is. The granted cap may be less than wanted when credit is short.
//
// Errors: p2p.ErrDenied, ErrCredit (with the numbers), ErrTariff (look it up
// again), p2p.ErrRefused (payee, or toll-free); ErrApproval; transport errors.
func (c *Client) Approve(ctx context.Context, approver p2p.Peer, ask Ask) (sealed.Sealed[billing.Approval], error) {
	var none sealed.Sealed[billing.Approval]
	m := &pb.Approve{
		Payee:      ask.Payee.Bytes(),
		PayeeArea:  ask.PayeeArea.Key().Bytes(),
		Tariff:     ask.Tariff,
		Credential: ask.Credential,
		UsedBytes:  ask.UsedBytes,
		WantBytes:  ask.WantBytes,
	}
	if ask.Renew != (billing.ChannelID{}) {
		m.Renew = ask.Renew[:]
	}
	answer, err := c.call(ctx, approver, &pb.Request{Kind: &pb.Request_Approve{Approve: m}}, maxAnswerBytes)
	if err != nil {
		return none, fmt.Errorf("asking %s for an approval: %w", approver.Key, err)
	}
	a, err := sealed.OpenFrom[billing.Approval](approver.Key, answer.GetApproval())
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrApproval, err)
	}
	t, err := sealed.Open[billing.Tariff](ask.Tariff)
	if err != nil {
		return none, fmt.Errorf("tariff: %w", err)
	}
	v := a.Value
	if v.Approver != approver.Key || v.Payer != c.host.Key() || v.Payee != ask.Payee || v.CheckTariff(t) != nil {
		return none, fmt.Errorf("%w: other keys or another tariff", ErrApproval)
	}
	return a, nil
}

// Post books one voucher. See [Client.PostAll].
func (c *Client) Post(ctx context.Context, approver p2p.Peer, v sealed.Sealed[billing.Voucher]) (sealed.Sealed[billing.Receipt], error) {
	var receipt sealed.Sealed[billing.Receipt]
	var refused error
	err := c.PostAll(ctx, approver, []sealed.Sealed[billing.Voucher]{v}, func(_ int, r sealed.Sealed[billing.Receipt], err error) {
		receipt, refused = r, err
	})
	if err == nil {
		err = refused
	}
	return receipt, err
}

// PostAll books vouchers over one stream and calls done for each in order, with
// its receipt or the reason it was refused. A receipt is checked: it is the
// approver's, for that channel, and for this voucher or a higher one. Posting
// again changes nothing.
//
// An error means that the vouchers without a call to done were not answered;
// whether they were booked is then unknown, and posting them again finds out.
func (c *Client) PostAll(ctx context.Context, approver p2p.Peer, vs []sealed.Sealed[billing.Voucher], done func(i int, r sealed.Sealed[billing.Receipt], err error)) (err error) {
	s, err := c.host.Open(ctx, approver, Protocol)
	if err != nil {
		return fmt.Errorf("posting to %s: %w", approver.Key, err)
	}
	defer s.Close() //nolint:errcheck // every answer is in; how the stream ends changes nothing
	defer s.ResetOn(ctx)()
	for i, v := range vs {
		var answer pb.Answer
		err := s.Send(&pb.Request{Kind: &pb.Request_Post{Post: &pb.Post{Voucher: v.Bytes}}})
		if err == nil {
			err = s.Receive(&answer, maxAnswerBytes)
		}
		if err != nil {
			s.Reset()
			return fmt.Errorf("posting to %s: %w", approver.Key, err)
		}
		var r sealed.Sealed[billing.Receipt]
		if err = refusalIn(&answer); err == nil {
			r, err = checkReceipt(approver.Key, v, answer.GetReceipt())
		}
		done(i, r, err)
	}
	return nil
}

func checkReceipt(approver caps.PublicKey, v sealed.Sealed[billing.Voucher], b []byte) (sealed.Sealed[billing.Receipt], error) {
	var none sealed.Sealed[billing.Receipt]
	r, err := sealed.OpenFrom[billing.Receipt](approver, b)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	switch got, sent := r.Value, v.Value; {
	case got.Channel != sent.Channel:
		return none, fmt.Errorf("%w: another channel", ErrReceipt)
	case got.Bytes < sent.Bytes || got.Lookups < sent.Lookups || got.Credits < sent.Credits:
		return none, fmt.Errorf("%w: %d bytes and %v are booked, %d and %v were posted", ErrReceipt, got.Bytes, got.Credits, sent.Bytes, sent.Credits)
	case got.Bytes == sent.Bytes && got.Lookups == sent.Lookups && got.Voucher != v.Hash():
		// The same totals signed twice have one signature: Ed25519 has no choice in it.
		return none, fmt.Errorf("%w: another voucher", ErrReceipt)
	}
	return r, nil
}

// A StatementAsk names an account's period.
type StatementAsk struct {
	Account caps.PublicKey
	// Period is its number; Current means the present one, whatever its number.
	Period  uint64
	Current bool
	// Credential proves that the caller may speak for the account; nil for one's own.
	Credential []byte
}

// Statement fetches the signed account of one period.
//
// Errors: p2p.ErrDenied; ErrStatement; transport errors.
func (c *Client) Statement(ctx context.Context, approver p2p.Peer, ask StatementAsk) (sealed.Sealed[billing.Statement], error) {
	var none sealed.Sealed[billing.Statement]
	answer, err := c.call(ctx, approver, &pb.Request{Kind: &pb.Request_Statement{Statement: &pb.GetStatement{
		Account:    ask.Account.Bytes(),
		Period:     ask.Period,
		Current:    ask.Current,
		Credential: ask.Credential,
	}}}, maxStatementAnswerBytes)
	if err != nil {
		return none, fmt.Errorf("asking %s for a statement: %w", approver.Key, err)
	}
	st, err := sealed.OpenFrom[billing.Statement](approver.Key, answer.GetStatement())
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if st.Value.Account != ask.Account || !ask.Current && st.Value.Period != ask.Period {
		return none, fmt.Errorf("%w: another account or period", ErrStatement)
	}
	return st, nil
}

// Join asks for an account for a grid; the host's key must be its delegate.
// Asking again tells how the request stands.
func (c *Client) Join(ctx context.Context, approver p2p.Peer, req JoinRequest) (JoinState, error) {
	answer, err := c.call(ctx, approver, &pb.Request{Kind: &pb.Request_Join{Join: &pb.Join{
		Delegation: req.Delegation,
		Sheet:      req.Sheet,
		Area:       req.Area.Key().Bytes(),
		Name:       req.Name,
	}}}, maxAnswerBytes)
	if err != nil {
		return JoinState{}, fmt.Errorf("asking %s for an account: %w", approver.Key, err)
	}
	j := answer.GetJoined()
	if j == nil {
		return JoinState{}, fmt.Errorf("%w: no answer to the request for an account", ErrMalformed)
	}
	if j.GetAdmitted() && billing.CheckCurrency(j.GetCurrency()) != nil {
		return JoinState{}, fmt.Errorf("%w: currency", ErrMalformed)
	}
	return JoinState{
		Admitted:   j.GetAdmitted(),
		Suspended:  j.GetSuspended(),
		CreditLine: billing.Credits(j.GetCreditLine()),
		Deposit:    billing.Credits(j.GetDeposit()),
		Currency:   j.GetCurrency(),
	}, nil
}

// A Status is what an approver tells everybody.
type Status struct {
	// Epoch is the revocation epoch: approvals with a lower one are void.
	Epoch uint64
	// Period is the number of the present period.
	Period uint64
	// Now is the approver's clock, unix seconds.
	Now int64
}

// Status asks how the approver stands. It is not signed; the connection proves
// who said it.
func (c *Client) Status(ctx context.Context, approver p2p.Peer) (Status, error) {
	answer, err := c.call(ctx, approver, &pb.Request{Kind: &pb.Request_Status{Status: &pb.GetStatus{}}}, maxAnswerBytes)
	if err != nil {
		return Status{}, fmt.Errorf("asking %s for its status: %w", approver.Key, err)
	}
	if answer.GetStatus() == nil {
		return Status{}, fmt.Errorf("%w: no status", ErrMalformed)
	}
	return Status{Epoch: answer.GetStatus().GetEpoch(), Period: answer.GetStatus().GetPeriod(), Now: answer.GetStatus().GetNow()}, nil
}

func (c *Client) call(ctx context.Context, to p2p.Peer, req *pb.Request, maxBytes int) (*pb.Answer, error) {
	var answer pb.Answer
	if err := p2p.Call(ctx, c.host, to, Protocol, req, &answer, maxBytes); err != nil {
		return nil, err
	}
	return &answer, refusalIn(&answer)
}

// refusalIn is the refusal that an answer holds, a *p2p.RemoteError, or nil.
func refusalIn(answer *pb.Answer) error {
	err := p2p.FromFailure(answer.GetFailure())
	switch {
	case errors.Is(err, p2p.ErrUnpaid):
		return &refusal{sentinel: ErrCredit, err: err}
	case errors.Is(err, p2p.ErrConflict):
		return &refusal{sentinel: ErrTariff, err: err}
	}
	return err
}

// refusal is what the approver said, with the sentinel it stands for.
type refusal struct{ sentinel, err error }

func (r *refusal) Error() string   { return r.err.Error() }
func (r *refusal) Unwrap() []error { return []error{r.err, r.sentinel} }

// isRemote reports whether err is an answer rather than a failure to get one.
func isRemote(err error) bool {
	var remote *p2p.RemoteError
	return errors.As(err, &remote)
}
