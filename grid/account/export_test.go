package account

import (
	"context"

	"trunkline/caps"
	"trunkline/grid/account/pb"
	"trunkline/p2p"
)

// TestingOnlyAnswer answers a request without a stream.
func (a *Approver) TestingOnlyAnswer(ctx context.Context, remote caps.PublicKey, req *pb.Request) *pb.Answer {
	answer, err := a.answer(ctx, remote, req)
	if err != nil {
		return &pb.Answer{Failure: p2p.Failure(err)}
	}
	return answer
}
