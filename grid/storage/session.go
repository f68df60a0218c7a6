package storage

import (
	"errors"
	"fmt"
	"io"

	"trunkline/caps"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

// session is one stream at the server. The uploads begun on it end with it.
type session struct {
	server  *Server
	store   *Store
	stream  *p2p.Stream
	peer    caps.PublicKey
	uploads map[shareID]*openUpload
	changes map[uint64]*incomingChange // by the id of their messages
}

type openUpload struct {
	*Upload
	refused bool // the asker was told that a write failed
}

// end gives up what the peer left unfinished.
func (c *session) end() {
	for id, u := range c.uploads {
		u.Abort()
		c.forget(id)
	}
	for id := range c.changes {
		c.dropChange(id)
	}
}

func (c *session) forget(id shareID) {
	if c.uploads[id] != nil {
		delete(c.uploads, id)
		c.server.leave(c.peer, 1)
	}
}

// handle answers one request. Its error means that the stream cannot go on.
func (c *session) handle(r *pb.Request) error {
	answer := &pb.Answer{Id: r.GetId()}
	si, err := storageIndex(r)
	switch body := r.GetBody().(type) {
	case *pb.Request_Write: // its bytes follow whatever is wrong with it
		return c.write(r.GetId(), si, err, body.Write)
	case *pb.Request_TestWrite: // these are answered by what ends the change
		return c.beginChange(r.GetId(), si, err, body.TestWrite)
	case *pb.Request_SlotShare:
		c.mention(r.GetId(), si, err, body.SlotShare)
		return nil
	case *pb.Request_SlotWrite:
		return c.writeSlot(r.GetId(), si, err, body.SlotWrite)
	case *pb.Request_SlotApply:
		return c.applyChange(r.GetId(), si, err)
	case *pb.Request_SlotDrop:
		c.dropChange(r.GetId())
		return nil
	case nil:
		err = errors.Join(err, fmt.Errorf("%w: no request that is known here", ErrInvalid))
	}
	if err != nil {
		return c.stream.Send(refused(r.GetId(), err))
	}
	switch body := r.GetBody().(type) {
	case *pb.Request_List:
		answer.Body, err = c.list(si)
	case *pb.Request_Read:
		return c.read(r.GetId(), si, body.Read)
	case *pb.Request_ReadSlot:
		return c.readSlot(r.GetId(), si, body.ReadSlot)
	case *pb.Request_Allocate:
		answer.Body, err = c.allocate(si, body.Allocate)
	case *pb.Request_Commit:
		err = c.commit(si, body.Commit.GetShare())
		answer.Body = &pb.Answer_Done{Done: &pb.Done{}}
	case *pb.Request_Abort:
		err = c.abort(si, body.Abort.GetShare())
		answer.Body = &pb.Answer_Done{Done: &pb.Done{}}
	case *pb.Request_AddLease:
		err = c.addLease(si, body.AddLease)
		answer.Body = &pb.Answer_Done{Done: &pb.Done{}}
	case *pb.Request_Advise:
		err = c.advise(si, body.Advise)
		answer.Body = &pb.Answer_Done{Done: &pb.Done{}}
	}
	if err != nil {
		answer = refused(r.GetId(), err)
		c.logFailure(err)
	}
	return c.stream.Send(answer)
}

// logFailure tells the operator about failures that are this server's own.
func (c *session) logFailure(err error) {
	switch p2p.KindOf(err) {
	case p2p.Internal, p2p.Integrity, p2p.Unavailable:
		c.store.log.Error("request failed", "peer_id", c.peer.String(), "error", err)
	}
}

func (c *session) list(si caps.StorageIndex) (*pb.Answer_Shares, error) {
	infos, err := c.store.Shares(si)
	if err != nil {
		return nil, err
	}
	shares := make([]*pb.Share, len(infos))
	for i, info := range infos {
		shares[i] = &pb.Share{Number: uint32(info.Num), Size: info.Size} //nolint:gosec // below MaxShares
	}
	return &pb.Answer_Shares{Shares: &pb.Shares{Shares: shares}}, nil
}

func (c *session) allocate(si caps.StorageIndex, a *pb.Allocate) (*pb.Answer_Allocated, error) {
	if len(a.GetShares()) > MaxShares {
		return nil, fmt.Errorf("%w: %d share numbers", ErrInvalid, len(a.GetShares()))
	}
	nums := make([]int, len(a.GetShares()))
	for i, n := range a.GetShares() {
		num, err := shareNum(n)
		if err != nil {
			return nil, err
		}
		nums[i] = num
	}
	renew, cancel, err := secrets(a.GetRenewSecret(), a.GetCancelSecret())
	if err != nil {
		return nil, err
	}
	// An upload that this stream holds and that ended by itself makes room first.
	if err := c.server.enter(c.peer, len(nums)); err != nil {
		return nil, err
	}
	have, uploads, err := c.store.Allocate(si, nums, a.GetSize(), renew, cancel)
	c.server.leave(c.peer, len(nums)-len(uploads))
	if err != nil {
		return nil, err
	}
	answer := &pb.Allocated{Have: make([]uint32, len(have)), Allocated: make([]uint32, len(uploads))}
	for i, num := range have {
		answer.Have[i] = uint32(num) //nolint:gosec // below MaxShares
	}
	for i, u := range uploads {
		c.forget(u.id) // one that timed out
		c.uploads[u.id] = &openUpload{Upload: u}
		answer.Allocated[i] = uint32(u.Num()) //nolint:gosec // below MaxShares
	}
	return &pb.Answer_Allocated{Allocated: answer}, nil
}

// read answers with the ranges' bytes in frames, each in one write.
func (c *session) read(id uint64, si caps.StorageIndex, r *pb.Read) error {
	share, ranges, total, err := c.openRanges(si, r)
	if err != nil {
		c.logFailure(err)
		return c.stream.Send(refused(id, err))
	}
	defer share.Close()
	buf := c.server.buffers.Get().(*[frameBytes]byte)
	defer c.server.buffers.Put(buf)
	data := &pb.Data{}
	answer := &pb.Answer{Id: id, Body: &pb.Answer_Data{Data: data}}
	for total > 0 {
		frame := buf[:min(total, frameBytes)]
		if ranges, err = fill(frame, ranges, share.readAt); err != nil {
			c.logFailure(err)
			return c.stream.Send(refused(id, err))
		}
		total -= uint64(len(frame))
		data.Length, data.Last = uint32(len(frame)), total == 0 //nolint:gosec // at most frameBytes
		if err := c.stream.SendData(answer, frame); err != nil {
			return err
		}
	}
	return nil
}

// openRanges checks a read and opens its share.
func (c *session) openRanges(si caps.StorageIndex, r *pb.Read) (*Share, []Range, uint64, error) {
	num, err := shareNum(r.GetShare())
	if err != nil {
		return nil, nil, 0, err
	}
	if len(r.GetRanges()) > MaxRanges {
		return nil, nil, 0, fmt.Errorf("%w: %d ranges", ErrInvalid, len(r.GetRanges()))
	}
	ranges := make([]Range, len(r.GetRanges()))
	for i, g := range r.GetRanges() {
		ranges[i] = Range{g.GetOffset(), g.GetLength()}
	}
	total, err := checkRanges(ranges)
	if err != nil {
		return nil, nil, 0, err
	}
	share, err := c.store.OpenShare(si, num)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, g := range ranges {
		if g.Offset+g.Length > share.Size() { // both are bounded: no overflow
			share.Close()
			return nil, nil, 0, fmt.Errorf("share %d: %w: %d bytes at %d of %d", num, ErrRange, g.Length, g.Offset, share.Size())
		}
	}
	return share, ranges, total, nil
}

// readAt fills p from the share, which has it.
func (h *Share) readAt(p []byte, off uint64) error {
	n, err := h.ReadAt(p, int64(off)) //nolint:gosec // within the share
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it became shorter", ErrDamaged)
	}
	return fmt.Errorf("reading the share: %w", err)
}

// fill reads the next len(frame) bytes of the ranges, none of which is empty, and returns what is left of them.
func fill(frame []byte, ranges []Range, readAt func(p []byte, off uint64) error) ([]Range, error) {
	for len(frame) > 0 {
		g := &ranges[0]
		part := frame[:min(uint64(len(frame)), g.Length)]
		if err := readAt(part, g.Offset); err != nil {
			return nil, err
		}
		frame = frame[len(part):]
		g.Offset += uint64(len(part))
		if g.Length -= uint64(len(part)); g.Length == 0 {
			ranges = ranges[1:]
		}
	}
	return ranges, nil
}

// write takes the bytes of a write off the stream, and puts them in the share if everything is right
// with it. Only the first failure of an upload is answered, the commit repeats it.
func (c *session) write(id uint64, si caps.StorageIndex, err error, w *pb.Write) error {
	if w.GetLength() == 0 || w.GetLength() > MaxWriteBytes {
		// The place of the next request is not to be trusted.
		return fmt.Errorf("%w: a write of %d bytes", ErrInvalid, w.GetLength())
	}
	num := 0
	if err == nil {
		num, err = shareNum(w.GetShare())
	}
	var u *openUpload
	if err == nil {
		if u = c.uploads[shareID{si, num}]; u == nil {
			err = fmt.Errorf("share %d: %w", num, ErrNoUpload)
		}
	}
	buf := c.server.buffers.Get().(*[frameBytes]byte)
	defer c.server.buffers.Put(buf)
	offset := w.GetOffset()
	for left := w.GetLength(); left > 0; {
		part := buf[:min(left, frameBytes)]
		if err := c.stream.ReadData(part); err != nil {
			return err
		}
		left -= uint32(len(part)) //nolint:gosec // at most frameBytes
		if err == nil {
			err = u.WriteAt(part, offset)
			offset += uint64(len(part))
		}
	}
	if err == nil || u != nil && u.refused {
		return nil
	}
	c.logFailure(err)
	if u != nil {
		u.refused = true
		u.abort(err)
	}
	return c.stream.Send(refused(id, err))
}

func (c *session) upload(si caps.StorageIndex, n uint32) (*openUpload, error) {
	num, err := shareNum(n)
	if err != nil {
		return nil, err
	}
	u := c.uploads[shareID{si, num}]
	if u == nil {
		return nil, fmt.Errorf("share %d: %w", num, ErrNoUpload)
	}
	return u, nil
}

func (c *session) commit(si caps.StorageIndex, n uint32) error {
	u, err := c.upload(si, n)
	if err != nil {
		return err
	}
	if err := u.Commit(); err != nil {
		err = fmt.Errorf("share %d: %w", n, err)
		if errors.Is(err, ErrIncomplete) {
			return err
		}
		c.forget(u.id)
		return err
	}
	c.forget(u.id)
	return nil
}

func (c *session) abort(si caps.StorageIndex, n uint32) error {
	u, err := c.upload(si, n)
	if err != nil {
		return err
	}
	u.Abort()
	c.forget(u.id)
	return nil
}

func (c *session) addLease(si caps.StorageIndex, a *pb.AddLease) error {
	renew, cancel, err := secrets(a.GetRenewSecret(), a.GetCancelSecret())
	if err != nil {
		return err
	}
	return c.store.AddLease(si, renew, cancel)
}

func (c *session) advise(si caps.StorageIndex, a *pb.Advise) error {
	num, err := shareNum(a.GetShare())
	if err != nil {
		return err
	}
	return c.store.Advise(si, num, a.GetReason())
}
