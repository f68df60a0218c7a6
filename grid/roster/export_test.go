package roster

import (
	"context"

	"trunkline/caps"
	"trunkline/grid/roster/pb"
	"trunkline/p2p"
)

// noIssuer has no roster and no members.
type noIssuer struct{}

func (noIssuer) Current() (Verified, error) { return Verified{}, ErrNoRoster }

func (noIssuer) Certify(context.Context, caps.PublicKey, []string) (SealedCertificate, error) {
	return SealedCertificate{}, ErrNotMember
}

func (noIssuer) Redeem(context.Context, caps.PublicKey, Secret, string, []string) error {
	return ErrTicket
}

func (noIssuer) Bootstrap() []p2p.Peer { return nil }

// TestingOnlyService answers requests without a stream.
func TestingOnlyService(code caps.AreaCode) func(context.Context, caps.PublicKey, *pb.Request) *pb.Answer {
	s := NewService(code, noIssuer{})
	return func(ctx context.Context, remote caps.PublicKey, req *pb.Request) *pb.Answer {
		a, err := s.answer(ctx, remote, req)
		if err != nil {
			return &pb.Answer{Failure: p2p.Failure(err)}
		}
		return a
	}
}

// TestingOnlyParseAnswer is parseAnswer.
func TestingOnlyParseAnswer(a *pb.Answer) (Answer, error) { return parseAnswer(a) }
