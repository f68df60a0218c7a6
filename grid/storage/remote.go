package storage

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"trunkline/caps"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

const (
	// readLanes is how many streams the reads from one server share.
	readLanes = 2
	// writeLanes is how many streams the uploads to one server share: while one waits for the server's
	// disk, another goes on.
	writeLanes = 2
)

// Remote is one storage server as its clients see it. It opens streams when they are needed, keeps many
// requests in flight on each, and closes them when they were idle for a minute.
//
// All methods are safe for concurrent use and end soon after their context does; a call that is
// cancelled leaves the others alone. Slices passed in are the caller's again when the call returns. An
// error of the server matches the sentinels of this package and its p2p kind; when the stream or the
// connection died, p2p.ErrUnavailable or p2p.ErrUnreachable, and the next call connects anew.
type Remote struct {
	host *p2p.Host
	peer p2p.Peer
	seed [20]byte
	wg   sync.WaitGroup // receivers and the clean-up of cancelled allocations

	reads  [readLanes]berth
	writes [writeLanes]berth

	mu      sync.Mutex
	closed  bool
	stop    context.CancelFunc // ends dials and clean-ups at Close
	ctx     context.Context
	uploads map[shareID]*remoteUpload
}

// NewRemote makes a client of the server at p, without connecting. seed is the server's 20-byte peer id,
// which orders servers and goes into lease secrets.
func NewRemote(h *p2p.Host, p p2p.Peer, seed [20]byte) *Remote {
	r := &Remote{host: h, peer: p, seed: seed, uploads: make(map[shareID]*remoteUpload)}
	r.ctx, r.stop = context.WithCancel(context.Background())
	for i := range r.reads {
		r.reads[i].dial, r.reads[i].timeout = make(chan struct{}, 1), readTimeout
	}
	for i := range r.writes {
		r.writes[i].dial, r.writes[i].timeout = make(chan struct{}, 1), writeTimeout
	}
	return r
}

// Key is the server's account.
func (r *Remote) Key() caps.PublicKey { return r.peer.Key }

// PeerID20 is the server's seed.
func (r *Remote) PeerID20() [20]byte { return r.seed }

// PermutationSeed is the same.
func (r *Remote) PermutationSeed() []byte { return r.seed[:] }

// Close ends every call and stream, uploads included, and waits for them.
func (r *Remote) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	for _, berths := range [][]berth{r.reads[:], r.writes[:]} {
		for i := range berths {
			berths[i].mu.Lock()
			if l := berths[i].lane; l != nil {
				l.fail(ErrClosed)
			}
			berths[i].mu.Unlock()
		}
	}
	r.wg.Wait()
	return nil
}

// Shares lists the complete shares that the server has of si, ascending; none is not an error.
func (r *Remote) Shares(ctx context.Context, si caps.StorageIndex) ([]ShareInfo, error) {
	l, err := r.lane(ctx, r.reads[:])
	if err != nil {
		return nil, err
	}
	a, err := l.do(ctx, &pb.Request{StorageIndex: si[:], Body: &pb.Request_List{List: &pb.List{}}})
	if err != nil {
		return nil, fmt.Errorf("listing shares: %w", err)
	}
	listed := a.GetShares()
	if listed == nil {
		return nil, fmt.Errorf("listing shares: %w: another kind of answer", p2p.ErrMalformed)
	}
	infos := make([]ShareInfo, 0, min(len(listed.GetShares()), MaxShares))
	for _, sh := range listed.GetShares() {
		num, err := shareNum(sh.GetNumber())
		if err != nil || len(infos) > 0 && infos[len(infos)-1].Num >= num {
			return nil, fmt.Errorf("listing shares: %w: numbers out of order or bounds", p2p.ErrMalformed)
		}
		infos = append(infos, ShareInfo{Num: num, Size: sh.GetSize()})
	}
	return infos, nil
}

// Read fills dst[i], whose length must be ranges[i].Length, for each range of the share, in one round
// trip: what is too much for one request goes in several at once. After an error the contents of dst are
// undefined.
//
// Errors: ErrNotFound, ErrRange (the share is shorter), ErrMutable, ErrDamaged, ErrInvalid; transport.
func (r *Remote) Read(ctx context.Context, si caps.StorageIndex, num int, ranges []Range, dst [][]byte) (err error) {
	defer withShare(num, &err)
	parts, err := splitRead(ranges, dst)
	if err != nil || len(parts) == 0 {
		return err
	}
	l, err := r.lane(ctx, r.reads[:])
	if err != nil {
		return err
	}
	calls := make([]*call, 0, len(parts))
	for _, p := range parts {
		var c *call
		if c, err = l.start(p.dst); err != nil {
			break
		}
		calls = append(calls, c)
		q := &pb.Request{StorageIndex: si[:], Body: &pb.Request_Read{Read: &pb.Read{Share: uint32(num), Ranges: p.ranges}}} //nolint:gosec // refused by the server if negative
		q.Id = c.id
		if err = l.send(ctx, q, nil); err != nil {
			break
		}
	}
	for _, c := range calls {
		if err != nil {
			l.cancel(c)
			continue
		}
		err = l.wait(ctx, c)
	}
	return err
}

// readPart is what one request asks for.
type readPart struct {
	ranges []*pb.Range
	dst    [][]byte
}

// splitRead cuts a read into requests within the protocol's bounds. Empty ranges are left out.
func splitRead(ranges []Range, dst [][]byte) ([]readPart, error) {
	if len(ranges) != len(dst) {
		return nil, fmt.Errorf("%w: %d ranges for %d buffers", ErrInvalid, len(ranges), len(dst))
	}
	var parts []readPart
	room := uint64(0) // left in the last part
	for i, g := range ranges {
		if g.Length != uint64(len(dst[i])) {
			return nil, fmt.Errorf("%w: a range of %d bytes for a buffer of %d", ErrInvalid, g.Length, len(dst[i]))
		}
		if g.Offset+g.Length < g.Offset {
			return nil, fmt.Errorf("%w: a range of %d bytes at %d", ErrInvalid, g.Length, g.Offset)
		}
		for buf := dst[i]; len(buf) > 0; {
			if room == 0 || len(parts[len(parts)-1].ranges) == MaxRanges {
				parts = append(parts, readPart{})
				room = MaxReadBytes
			}
			p := &parts[len(parts)-1]
			n := min(uint64(len(buf)), room)
			p.ranges = append(p.ranges, &pb.Range{Offset: g.Offset, Length: n})
			p.dst = append(p.dst, buf[:n])
			buf, room = buf[n:], room-n
			g.Offset += n
		}
	}
	return parts, nil
}

// AddLease renews the lease on every share that the server has of si, or adds it.
//
// Errors: ErrNotFound, ErrReadOnly, ErrMutable, ErrTooMany, ErrFailed; transport.
func (r *Remote) AddLease(ctx context.Context, si caps.StorageIndex, renew, cancel [32]byte) error {
	err := r.simple(ctx, &pb.Request{StorageIndex: si[:], Body: &pb.Request_AddLease{
		AddLease: &pb.AddLease{RenewSecret: renew[:], CancelSecret: cancel[:]},
	}})
	if err != nil {
		return fmt.Errorf("adding a lease: %w", err)
	}
	return nil
}

// Advise tells the server's operator that a share is corrupt. reason is cut to MaxReasonBytes.
//
// Errors: ErrNotFound, ErrReadOnly, ErrTooMany, ErrInvalid (no reason); transport.
func (r *Remote) Advise(ctx context.Context, si caps.StorageIndex, num int, reason string) (err error) {
	defer withShare(num, &err)
	return r.simple(ctx, &pb.Request{StorageIndex: si[:], Body: &pb.Request_Advise{
		Advise: &pb.Advise{Share: uint32(num), Reason: cutText(reason, MaxReasonBytes)}, //nolint:gosec // refused by the server if negative
	}})
}

// simple sends a request whose answer says nothing but done.
func (r *Remote) simple(ctx context.Context, q *pb.Request) error {
	l, err := r.lane(ctx, r.writes[:])
	if err != nil {
		return err
	}
	a, err := l.do(ctx, q)
	if err != nil {
		return err
	}
	if a.GetDone() == nil {
		return fmt.Errorf("%w: another kind of answer", p2p.ErrMalformed)
	}
	return nil
}

// withShare names the share in an error.
func withShare(num int, err *error) {
	if *err != nil {
		*err = fmt.Errorf("share %d: %w", num, *err)
	}
}

// cutText is text as valid UTF-8 of at most n bytes.
func cutText(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "")
	}
	return text
}
