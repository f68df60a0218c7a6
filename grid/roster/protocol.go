package roster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster/pb"
	"trunkline/p2p"
	p2ppb "trunkline/p2p/pb"
)

// Protocol is /trunkline/roster/1: one request and one answer a stream.
var Protocol = p2p.Protocol{ID: "/trunkline/roster/1", MaxStreamsPerPeer: 4, StepTimeout: 15 * time.Second}

const (
	maxRequestBytes  = 4 << 10
	maxAnswerBytes   = MaxRosterBytes + 32<<10
	maxBootstrap     = 16
	certificateBytes = 1 << 10
)

// A Source has the newest roster known here. A [Holder] is one, a manager another.
// Safe for concurrent use.
type Source interface {
	// Current is the newest roster. Errors: ErrNoRoster, ErrExpired.
	Current() (Verified, error)
}

// An Issuer is a [Source] that may change the roster: the manager. Both methods
// take the key that the connection proved. Safe for concurrent use.
type Issuer interface {
	Source
	// Certify gives a member its certificate and notes its present addresses; nil
	// addrs say nothing. The addresses fit a roster. Errors: ErrNotMember.
	Certify(ctx context.Context, key caps.PublicKey, addrs []string) (SealedCertificate, error)
	// Redeem makes key a member by a ticket. Again with the same key and ticket it
	// changes nothing. Errors: ErrTicket, ErrTicketUsed, ErrExpired.
	Redeem(ctx context.Context, key caps.PublicKey, secret Secret, name string, addrs []string) error
	// Bootstrap lists further nodes to enter the network by.
	Bootstrap() []p2p.Peer
}

// A Service answers the roster protocol, for members only.
type Service struct {
	area   caps.AreaCode
	source Source
	issuer Issuer // nil at members other than the manager
}

// NewService serves what source has; if source is an [Issuer], also certificates
// and tickets.
func NewService(code caps.AreaCode, source Source) *Service {
	s := &Service{area: code, source: source}
	s.issuer, _ = source.(Issuer)
	return s
}

// Register begins to answer on the host.
func (s *Service) Register(h *p2p.Host) { h.Handle(Protocol, s.serve) }

func (s *Service) serve(ctx context.Context, stream *p2p.Stream) error {
	var req pb.Request
	if err := stream.Receive(&req, maxRequestBytes); err != nil {
		return fmt.Errorf("reading request: %w", err)
	}
	answer, err := s.answer(ctx, stream.Remote(), &req)
	if err != nil {
		answer = &pb.Answer{Failure: p2p.Failure(err)}
	}
	if err := stream.Send(answer); err != nil {
		return fmt.Errorf("sending answer: %w", err)
	}
	return nil
}

// answer decides on one request of the key behind the connection.
func (s *Service) answer(ctx context.Context, remote caps.PublicKey, req *pb.Request) (*pb.Answer, error) {
	switch kind := req.GetKind().(type) {
	case *pb.Request_Get:
		return s.get(ctx, remote, kind.Get)
	case *pb.Request_Join:
		return s.join(ctx, remote, kind.Join)
	default:
		return nil, fmt.Errorf("%w: request of an unknown kind", ErrMalformed)
	}
}

func (s *Service) get(ctx context.Context, remote caps.PublicKey, req *pb.Get) (*pb.Answer, error) {
	addrs, err := s.check(remote, req.GetArea(), req.GetAddrs())
	if err != nil {
		return nil, err
	}
	answer := &pb.Answer{}
	if s.issuer != nil {
		// Before the roster is read: new addresses make a new roster.
		cert, err := s.issuer.Certify(ctx, remote, addrs)
		if err != nil {
			return nil, err
		}
		if req.GetCertificate() {
			answer.Certificate = cert.Bytes
		}
	}
	v, err := s.source.Current()
	if err != nil {
		return nil, err
	}
	if _, ok := v.Roster.Value.Find(remote); !ok {
		return nil, ErrNotMember
	}
	have := Number{Delegation: req.GetDelegationSequence(), Roster: req.GetRosterSequence()}
	if have.Compare(v.Number()) >= 0 {
		answer.Unchanged = true
		return answer, nil
	}
	answer.Delegation, answer.Roster = v.Bundle.Delegation, v.Bundle.Roster
	return answer, nil
}

func (s *Service) join(ctx context.Context, remote caps.PublicKey, req *pb.Join) (*pb.Answer, error) {
	if s.issuer == nil {
		return nil, ErrNoManager
	}
	addrs, err := s.check(remote, req.GetArea(), req.GetAddrs())
	if err != nil {
		return nil, err
	}
	if len(req.GetSecret()) != 16 {
		return nil, fmt.Errorf("%w: secret of %d bytes", ErrMalformed, len(req.GetSecret()))
	}
	if err := CheckName(req.GetName()); err != nil {
		return nil, err
	}
	if err := s.issuer.Redeem(ctx, remote, NewSecret([16]byte(req.GetSecret())), req.GetName(), addrs); err != nil {
		return nil, err
	}
	cert, err := s.issuer.Certify(ctx, remote, nil)
	if err != nil {
		return nil, err
	}
	v, err := s.issuer.Current()
	if err != nil {
		return nil, err
	}
	answer := &pb.Answer{Delegation: v.Bundle.Delegation, Roster: v.Bundle.Roster, Certificate: cert.Bytes}
	for _, p := range s.issuer.Bootstrap() {
		if len(answer.Bootstrap) == maxBootstrap {
			break
		}
		answer.Bootstrap = append(answer.Bootstrap, p.Proto())
	}
	return answer, nil
}

// check refuses another area's request and returns the addresses as far as they
// fit a roster: an odd address of a member is no reason to refuse the member.
func (s *Service) check(remote caps.PublicKey, code []byte, addrs []string) ([]string, error) {
	key, err := caps.ParsePublicKey(code)
	if err != nil {
		return nil, fmt.Errorf("%w: area: %w", ErrMalformed, err)
	}
	if caps.NewAreaCode(key) != s.area {
		return nil, ErrArea
	}
	if len(addrs) > p2p.MaxPeerAddrs {
		return nil, fmt.Errorf("%w: %d addresses", ErrMalformed, len(addrs))
	}
	return TrimAddrs(remote, addrs), nil
}

// An Ask is what a member wants to know.
type Ask struct {
	Area caps.AreaCode
	// Have is the number of the roster at hand, zero for none.
	Have Number
	// Certificate asks for the caller's own certificate as well.
	Certificate bool
	// Addrs are the caller's present addresses, empty to say nothing.
	Addrs []string
}

// An Answer is what somebody said; nothing in it is verified yet.
type Answer struct {
	// Unchanged means that the answerer has nothing newer; Bundle is then empty.
	Unchanged   bool
	Bundle      Bundle
	Certificate []byte
	Bootstrap   []p2p.Peer
}

// Fetch asks one peer for its roster.
//
// Errors: ErrNotMember, if the answerer does not know the caller; transport
// errors. What comes back still has to be opened.
func Fetch(ctx context.Context, o p2p.Opener, from p2p.Peer, ask Ask) (Answer, error) {
	return call(ctx, o, from, &pb.Request{Kind: &pb.Request_Get{Get: &pb.Get{
		Area:               keyBytes(ask.Area.Key()),
		DelegationSequence: ask.Have.Delegation,
		RosterSequence:     ask.Have.Roster,
		Certificate:        ask.Certificate,
		Addrs:              ask.Addrs,
	}}})
}

// A Joined node is a member now.
type Joined struct {
	Roster      Verified
	Certificate SealedCertificate
	// Bootstrap are further nodes to enter the network by.
	Bootstrap []p2p.Peer
}

// Join redeems a ticket for self, the key of the host behind o, and checks what
// comes back. addrs are the node's addresses, for others to dial.
//
// It may be repeated when the answer got lost: the same key and ticket count once.
// Errors: ErrExpired, ErrTicket, ErrTicketUsed, and those of [Open].
func Join(ctx context.Context, o p2p.Opener, self caps.PublicKey, t Ticket, name string, addrs []string, now time.Time) (Joined, error) {
	if t.Expired(now) {
		return Joined{}, fmt.Errorf("ticket ended %s: %w; ask the grid's manager for a new one", stamp(t.Expires), ErrExpired)
	}
	secret := t.Secret.Bytes()
	a, err := call(ctx, o, t.Manager, &pb.Request{Kind: &pb.Request_Join{Join: &pb.Join{
		Area:   keyBytes(t.Area.Key()),
		Secret: secret[:],
		Name:   name,
		Addrs:  TrimAddrs(self, addrs),
	}}})
	if err != nil {
		switch {
		case errors.Is(err, p2p.ErrNotFound):
			err = fmt.Errorf("%w: %w", ErrTicket, err)
		case errors.Is(err, p2p.ErrConflict):
			err = fmt.Errorf("%w: %w", ErrTicketUsed, err)
		case errors.Is(err, p2p.ErrExpired):
			err = fmt.Errorf("%w: %w", ErrExpired, err)
		}
		return Joined{}, fmt.Errorf("redeeming ticket: %w", err)
	}
	v, err := Open(t.Area, a.Bundle, now)
	if err != nil {
		return Joined{}, err
	}
	if _, err := (Credential{Delegation: a.Bundle.Delegation, Certificate: a.Certificate}).Verify(t.Area, self, now); err != nil {
		return Joined{}, err
	}
	cert, err := openSealed[Certificate](a.Certificate, v.Delegation.Delegate)
	if err != nil {
		return Joined{}, err
	}
	return Joined{Roster: v, Certificate: cert, Bootstrap: a.Bootstrap}, nil
}

func call(ctx context.Context, o p2p.Opener, to p2p.Peer, req *pb.Request) (Answer, error) {
	var a pb.Answer
	if err := p2p.Call(ctx, o, to, Protocol, req, &a, maxAnswerBytes); err != nil {
		return Answer{}, fmt.Errorf("asking %s: %w", to.Key, err)
	}
	return parseAnswer(&a)
}

// parseAnswer holds an answer to its bounds.
func parseAnswer(a *pb.Answer) (Answer, error) {
	if a.GetFailure() != nil {
		err := p2p.FromFailure(a.GetFailure())
		if errors.Is(err, p2p.ErrDenied) {
			err = fmt.Errorf("%w: %w", ErrNotMember, err)
		}
		return Answer{}, err
	}
	out := Answer{
		Unchanged:   a.GetUnchanged(),
		Bundle:      Bundle{Delegation: a.GetDelegation(), Roster: a.GetRoster()},
		Certificate: a.GetCertificate(),
	}
	switch {
	case len(out.Bundle.Delegation) > MaxDelegationBytes, len(out.Bundle.Roster) > MaxRosterBytes,
		len(out.Certificate) > certificateBytes, len(a.GetBootstrap()) > maxBootstrap:
		return Answer{}, fmt.Errorf("%w: answer over its bounds", ErrMalformed)
	case !out.Unchanged && (len(out.Bundle.Delegation) == 0 || len(out.Bundle.Roster) == 0):
		return Answer{}, fmt.Errorf("%w: answer without a roster", ErrMalformed)
	}
	for _, m := range a.GetBootstrap() {
		p, err := peerFrom(m)
		if err != nil {
			return Answer{}, err
		}
		out.Bootstrap = append(out.Bootstrap, p)
	}
	return out, nil
}

func peerFrom(m *p2ppb.Peer) (p2p.Peer, error) {
	p, err := p2p.PeerFromProto(m)
	if err != nil {
		return p2p.Peer{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return p, nil
}

func keyBytes(k caps.PublicKey) []byte { return append([]byte(nil), k[:]...) }
