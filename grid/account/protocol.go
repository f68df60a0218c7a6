package account

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/account/pb"
	"trunkline/p2p"
)

// Protocol is /trunkline/account/1: requests and their answers in turn.
var Protocol = p2p.Protocol{ID: "/trunkline/account/1", MaxStreamsPerPeer: 8, StepTimeout: 20 * time.Second}

const (
	maxRequestBytes         = 24 << 10
	maxAnswerBytes          = 8 << 10
	maxStatementAnswerBytes = 3 << 20
	maxEnvelope             = 1 << 10 // a tariff, voucher, approval or receipt
	maxCredential           = 8 << 10
	maxDelegation           = 4 << 10
	maxSheet                = 8 << 10
	maxName                 = 64
	maxRequests             = 4096 // requests on one stream
	requestTimeout          = 20 * time.Second
)

// Register begins to answer on the host.
func (a *Approver) Register(h *p2p.Host) { h.Handle(Protocol, a.serve) }

func (a *Approver) serve(ctx context.Context, s *p2p.Stream) error {
	for range maxRequests {
		var req pb.Request
		if err := s.Receive(&req, maxRequestBytes); err != nil {
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return fmt.Errorf("reading request: %w", err)
		}
		step, cancel := context.WithTimeout(ctx, requestTimeout)
		answer, err := a.answer(step, s.Remote(), &req)
		cancel()
		if err != nil {
			if p2p.KindOf(err) == p2p.Internal {
				a.cfg.Logger.ErrorContext(ctx, "request failed", "peer_id", s.Remote().String(), "error", err)
			}
			answer = &pb.Answer{Failure: p2p.Failure(err)}
		}
		if err := s.Send(answer); err != nil {
			return fmt.Errorf("sending answer: %w", err)
		}
	}
	return fmt.Errorf("%w: %d requests on one stream", ErrBusy, maxRequests)
}

// answer decides on one request of the key behind the connection. Bounds are
// checked here, once; the methods below see sound values.
func (a *Approver) answer(ctx context.Context, remote caps.PublicKey, req *pb.Request) (*pb.Answer, error) {
	switch kind := req.GetKind().(type) {
	case *pb.Request_Approve:
		ask, err := parseAsk(kind.Approve)
		if err != nil {
			return nil, err
		}
		approval, err := a.Approve(ctx, remote, ask)
		return &pb.Answer{Approval: approval.Bytes}, err
	case *pb.Request_Post:
		if err := bound("voucher", kind.Post.GetVoucher(), 1, maxEnvelope); err != nil {
			return nil, err
		}
		receipt, err := a.Post(ctx, remote, kind.Post.GetVoucher())
		return &pb.Answer{Receipt: receipt.Bytes}, err
	case *pb.Request_Statement:
		ask, err := parseStatementAsk(kind.Statement)
		if err != nil {
			return nil, err
		}
		st, err := a.Statement(ctx, remote, ask)
		return &pb.Answer{Statement: st.Bytes}, err
	case *pb.Request_Join:
		req, err := parseJoin(kind.Join)
		if err != nil {
			return nil, err
		}
		state, err := a.Join(ctx, remote, req)
		return &pb.Answer{Joined: &pb.Joined{
			Admitted:   state.Admitted,
			Suspended:  state.Suspended,
			CreditLine: int64(state.CreditLine),
			Deposit:    int64(state.Deposit),
			Currency:   state.Currency,
		}}, err
	case *pb.Request_Status:
		st, err := a.Status(ctx)
		return &pb.Answer{Status: &pb.Status{Epoch: st.Epoch, Period: st.Period, Now: st.Now}}, err
	default:
		return nil, fmt.Errorf("%w: request of an unknown kind", ErrMalformed)
	}
}

func parseAsk(m *pb.Approve) (Ask, error) {
	payee, err := parseKey("payee", m.GetPayee())
	if err != nil {
		return Ask{}, err
	}
	area, err := parseKey("payee's area", m.GetPayeeArea())
	if err != nil {
		return Ask{}, err
	}
	ask := Ask{
		Payee:      payee,
		PayeeArea:  caps.NewAreaCode(area),
		Tariff:     m.GetTariff(),
		Credential: m.GetCredential(),
		UsedBytes:  m.GetUsedBytes(),
		WantBytes:  m.GetWantBytes(),
	}
	if len(m.GetRenew()) != 0 {
		if err := bound("channel", m.GetRenew(), len(ask.Renew), len(ask.Renew)); err != nil {
			return Ask{}, err
		}
		ask.Renew = billing.ChannelID(m.GetRenew())
	}
	if ask.UsedBytes > maxGrant || ask.WantBytes > maxGrant {
		return Ask{}, fmt.Errorf("%w: more than %d bytes", ErrMalformed, int64(maxGrant))
	}
	return ask, errors.Join(bound("tariff", ask.Tariff, 1, maxEnvelope), bound("credential", ask.Credential, 0, maxCredential))
}

func parseStatementAsk(m *pb.GetStatement) (StatementAsk, error) {
	key, err := parseKey("account", m.GetAccount())
	if err != nil {
		return StatementAsk{}, err
	}
	ask := StatementAsk{Account: key, Period: m.GetPeriod(), Current: m.GetCurrent(), Credential: m.GetCredential()}
	if ask.Current && ask.Period != 0 || ask.Period > billing.MaxCount {
		return StatementAsk{}, fmt.Errorf("%w: period", ErrMalformed)
	}
	return ask, bound("credential", ask.Credential, 0, maxCredential)
}

func parseJoin(m *pb.Join) (JoinRequest, error) {
	key, err := parseKey("area", m.GetArea())
	if err != nil {
		return JoinRequest{}, err
	}
	req := JoinRequest{Area: caps.NewAreaCode(key), Delegation: m.GetDelegation(), Sheet: m.GetSheet(), Name: m.GetName()}
	return req, errors.Join(
		bound("delegation", req.Delegation, 1, maxDelegation),
		bound("sheet", req.Sheet, 1, maxSheet),
		bound("name", []byte(req.Name), 0, maxName),
	)
}

func parseKey(what string, b []byte) (caps.PublicKey, error) {
	k, err := caps.ParsePublicKey(b)
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
	}
	return k, nil
}

func bound(what string, b []byte, least, most int) error {
	if len(b) < least || len(b) > most {
		return fmt.Errorf("%w: %s of %d bytes, %d to %d are allowed", ErrMalformed, what, len(b), least, most)
	}
	return nil
}
