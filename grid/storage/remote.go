package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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

	reads  [readLanes]slot
	writes [writeLanes]slot

	mu      sync.Mutex
	closed  bool
	stop    context.CancelFunc // ends dials and clean-ups at Close
	ctx     context.Context
	uploads map[shareID]*remoteUpload
}

// slot is the place of one lane.
type slot struct {
	dial    chan struct{} // holds a token while somebody connects
	timeout time.Duration // of the lane

	mu   sync.Mutex
	lane *lane // nil, or perhaps dead
}

// remoteUpload is one share that this client is uploading.
type remoteUpload struct {
	lane *lane
	id   uint64 // of all its writes
	err  error  // first failure of a write; guarded by lane.mu
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

// Close ends every call and stream, uploads included, and waits for them.
func (r *Remote) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	for _, slots := range [][]slot{r.reads[:], r.writes[:]} {
		for i := range slots {
			slots[i].mu.Lock()
			if l := slots[i].lane; l != nil {
				l.fail(ErrClosed)
			}
			slots[i].mu.Unlock()
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

// Allocate opens uploads of size bytes each for the shares nums. have lists what the server has
// complete, its lease renewed; allocated what can be written now. Both are ascending. A number in
// neither is being uploaded by someone else or has no room.
//
// An upload ends with Commit, with Abort, or with the connection.
//
// Errors: ErrNoSpace (no room for any), ErrReadOnly, ErrMutable, ErrTooMany, ErrFailed, ErrInvalid;
// transport.
func (r *Remote) Allocate(ctx context.Context, si caps.StorageIndex, nums []int, size uint64, renew, cancel [32]byte) (have, allocated []int, err error) {
	if _, err := checkNumbers(nums); err != nil {
		return nil, nil, err
	}
	l, err := r.lane(ctx, r.writes[:])
	if err != nil {
		return nil, nil, err
	}
	ask := &pb.Allocate{Size: size, RenewSecret: renew[:], CancelSecret: cancel[:]}
	for _, num := range nums {
		ask.Shares = append(ask.Shares, uint32(num)) //nolint:gosec // checked
	}
	c, err := l.start(nil)
	if err != nil {
		return nil, nil, err
	}
	q := &pb.Request{StorageIndex: si[:], Body: &pb.Request_Allocate{Allocate: ask}}
	q.Id = c.id
	if err := l.send(ctx, q, nil); err != nil {
		l.cancel(c)
		return nil, nil, fmt.Errorf("allocating shares: %w", err)
	}
	if err := l.await(ctx, c); err != nil {
		if ctx.Err() != nil {
			r.takeBack(l, c, si)
		}
		return nil, nil, fmt.Errorf("allocating shares: %w", err)
	}
	have, allocated, err = allocatedOf(c.answer, nums)
	if err != nil {
		return nil, nil, fmt.Errorf("allocating shares: %w", err)
	}
	for _, num := range allocated {
		r.open(shareID{si, num}, l)
	}
	return have, allocated, nil
}

// takeBack gives up what the server may yet allocate to a call whose caller has left.
func (r *Remote) takeBack(l *lane, c *call, si caps.StorageIndex) {
	r.background(func(ctx context.Context) {
		if l.wait(ctx, c) != nil {
			return
		}
		for _, n := range c.answer.GetAllocated().GetAllocated() {
			if _, err := l.do(ctx, abortRequest(si, n)); err != nil {
				return
			}
		}
	})
}

// background runs fn until Close.
func (r *Remote) background(fn func(ctx context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed { // else the lanes end, and the uploads with them
		r.wg.Go(func() { fn(r.ctx) })
	}
}

// allocatedOf reads the answer to an allocation: only shares that were asked for, none twice.
func allocatedOf(a *pb.Answer, nums []int) (have, allocated []int, err error) {
	b := a.GetAllocated()
	if b == nil {
		return nil, nil, fmt.Errorf("%w: another kind of answer", p2p.ErrMalformed)
	}
	left := slices.Clone(nums)
	take := func(from []uint32) (to []int) {
		for _, n := range from {
			i := slices.Index(left, int(n))
			if i < 0 {
				err = fmt.Errorf("%w: share %d was not asked for", p2p.ErrMalformed, n)
				return nil
			}
			left = slices.Delete(left, i, i+1)
			to = append(to, int(n))
		}
		return to
	}
	have, allocated = take(b.GetHave()), take(b.GetAllocated())
	return have, allocated, err
}

// open enters an upload.
func (r *Remote) open(id shareID, l *lane) {
	u := &remoteUpload{lane: l}
	l.mu.Lock()
	if l.err == nil {
		l.next++
		u.id = l.next
		l.uploads[u.id] = u
		l.idle.Stop()
	}
	l.mu.Unlock()
	r.mu.Lock()
	r.uploads[id] = u
	r.mu.Unlock()
}

func (r *Remote) upload(id shareID) (*remoteUpload, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u := r.uploads[id]; u != nil {
		return u, nil
	}
	return nil, ErrNoUpload
}

// forget takes an upload that ended off the books.
func (r *Remote) forget(id shareID, u *remoteUpload) {
	r.mu.Lock()
	if r.uploads[id] == u {
		delete(r.uploads, id)
	}
	r.mu.Unlock()
	u.lane.mu.Lock()
	defer u.lane.mu.Unlock()
	delete(u.lane.uploads, u.id)
	u.lane.touch()
}

// failed is the first failure of a write.
func (u *remoteUpload) failed() error {
	u.lane.mu.Lock()
	defer u.lane.mu.Unlock()
	return u.err
}

// Write sends bytes of an allocated share and does not wait for them to be written: an error may come
// from a later Write, and comes from Commit at the latest.
//
// Errors: ErrNoUpload, ErrNoSpace, ErrRange, ErrConflict; transport.
func (r *Remote) Write(ctx context.Context, si caps.StorageIndex, num int, offset uint64, data []byte) (err error) {
	defer withShare(num, &err)
	u, err := r.upload(shareID{si, num})
	if err != nil {
		return err
	}
	for len(data) > 0 {
		if err := u.failed(); err != nil {
			return err
		}
		part := data[:min(len(data), MaxWriteBytes)]
		q := &pb.Request{StorageIndex: si[:], Body: &pb.Request_Write{Write: &pb.Write{
			Share: uint32(num), Offset: offset, Length: uint32(len(part)), //nolint:gosec // checked when allocated; bounded
		}}}
		q.Id = u.id
		if err := u.lane.send(ctx, q, part); err != nil {
			return err
		}
		data, offset = data[len(part):], offset+uint64(len(part))
	}
	return nil
}

// Commit ends an upload and returns when the share is durable at the server. After ErrIncomplete the
// upload is still open; after any other error it is gone, and whether the server has the share is
// unknown if the error is one of transport.
//
// Errors: ErrIncomplete, ErrNoUpload, ErrConflict, ErrNoSpace, ErrFailed, and what a Write left behind;
// transport.
func (r *Remote) Commit(ctx context.Context, si caps.StorageIndex, num int) (err error) {
	defer withShare(num, &err)
	id := shareID{si, num}
	u, err := r.upload(id)
	if err != nil {
		return err
	}
	err = u.end(ctx, &pb.Request{StorageIndex: si[:], Body: &pb.Request_Commit{Commit: &pb.Commit{Share: uint32(num)}}}) //nolint:gosec // checked when allocated
	if errors.Is(err, ErrIncomplete) {
		return err
	}
	r.forget(id, u)
	if err != nil && ctx.Err() != nil {
		r.drop(u.lane, si, num)
	}
	return err
}

// Abort gives an upload up; the server keeps nothing of it.
//
// Errors: ErrNoUpload; transport, after which the server drops it all the same.
func (r *Remote) Abort(ctx context.Context, si caps.StorageIndex, num int) (err error) {
	defer withShare(num, &err)
	id := shareID{si, num}
	u, err := r.upload(id)
	if err != nil {
		return err
	}
	r.forget(id, u)
	_, err = u.lane.do(ctx, abortRequest(si, uint32(num))) //nolint:gosec // checked when allocated
	if err != nil && ctx.Err() != nil {
		r.drop(u.lane, si, num)
	}
	return err
}

func abortRequest(si caps.StorageIndex, num uint32) *pb.Request {
	return &pb.Request{StorageIndex: si[:], Body: &pb.Request_Abort{Abort: &pb.Abort{Share: num}}}
}

// drop has the server give an upload up whose caller does not wait any more.
func (r *Remote) drop(l *lane, si caps.StorageIndex, num int) {
	r.background(func(ctx context.Context) {
		_, _ = l.do(ctx, abortRequest(si, uint32(num))) //nolint:gosec // checked when allocated
	})
}

// end sends the end of an upload and waits for the answer. A write that failed before says more than
// what came of it.
func (u *remoteUpload) end(ctx context.Context, q *pb.Request) error {
	a, err := u.lane.do(ctx, q)
	if err != nil {
		if first := u.failed(); first != nil {
			return first
		}
		return err
	}
	if a.GetDone() == nil {
		return fmt.Errorf("%w: another kind of answer", p2p.ErrMalformed)
	}
	return nil
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

// lane returns a live lane out of slots, an unused one if there is one, else the least used.
func (r *Remote) lane(ctx context.Context, slots []slot) (*lane, error) {
	best, least := &slots[0], -1
	for i := range slots {
		load := slots[i].load()
		if least < 0 || load < least {
			best, least = &slots[i], load
		}
		if load == 0 {
			break
		}
	}
	return r.connect(ctx, best)
}

// load is how much is in flight on the slot's lane.
func (s *slot) load() int {
	if l := s.live(); l != nil {
		return l.load()
	}
	return 0
}

func (s *slot) live() *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lane == nil || s.lane.dead() != nil {
		return nil
	}
	return s.lane
}

// connect returns the slot's lane, opening its stream if need be. Of several callers one opens it; if
// that one gives up, the next does.
func (r *Remote) connect(ctx context.Context, s *slot) (*lane, error) {
	if l := s.live(); l != nil {
		return l, nil
	}
	select {
	case s.dial <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.dial }()
	if l := s.live(); l != nil {
		return l, nil
	}
	if r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	dialCtx, done := context.WithCancel(ctx)
	defer done()
	defer context.AfterFunc(r.ctx, done)()
	stream, err := r.host.Open(dialCtx, r.peer, Protocol)
	if err != nil {
		switch {
		case r.ctx.Err() != nil:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("connecting to the storage server: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		stream.Reset()
		return nil, ErrClosed
	}
	l := newLane(stream, s.timeout, &r.wg)
	s.mu.Lock()
	s.lane = l
	s.mu.Unlock()
	return l, nil
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
