package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"trunkline/caps"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

// remoteUpload is one share that this client is uploading.
type remoteUpload struct {
	lane *lane
	id   uint64 // of all its writes
	err  error  // first failure of a write; guarded by lane.mu
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
	if err := ValidateAllocate(nums, size); err != nil {
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
