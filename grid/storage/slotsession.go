package storage

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"trunkline/caps"
	"trunkline/grid/storage/pb"
)

// maxChangesPerStream bounds the test-and-writes under way on one stream, refused ones included. Their shares count
// as uploads of the peer's.
const maxChangesPerStream = 256

// incomingChange is a test-and-write on its way in.
type incomingChange struct {
	*slotChange // nil if it was refused at once
	si          caps.StorageIndex
	err         error // the first; the answer when everything is there
	counted     int   // of the peer's uploads
}

// refuse drops what arrived. The rest is read and forgotten.
func (c *session) refuse(ch *incomingChange, err error) {
	if ch.err == nil {
		ch.err = err
	}
	c.release(ch)
}

func (c *session) release(ch *incomingChange) {
	if ch.slotChange != nil {
		ch.drop()
		ch.slotChange = nil
	}
	c.server.leave(c.peer, ch.counted)
	ch.counted = 0
}

// beginChange answers nothing. Its error means that the stream cannot go on.
func (c *session) beginChange(id uint64, si caps.StorageIndex, err error, t *pb.TestWrite) error {
	if c.changes[id] != nil {
		return fmt.Errorf("%w: two changes with one id", ErrInvalid)
	}
	if len(c.changes) >= maxChangesPerStream {
		return nil // what ends it will find nothing
	}
	ch := &incomingChange{si: si}
	c.changes[id] = ch
	if err == nil {
		err = c.openChange(ch, t)
	}
	if err != nil {
		c.refuse(ch, err)
	}
	return nil
}

func (c *session) openChange(ch *incomingChange, t *pb.TestWrite) error {
	enabler, err := secret(t.GetWriteEnabler())
	if err != nil {
		return err
	}
	renew, cancel, err := secrets(t.GetRenewSecret(), t.GetCancelSecret())
	if err != nil {
		return err
	}
	ch.slotChange, err = c.store.changeSlot(ch.si, enabler, renew, cancel, slotRanges(t.GetReads()))
	return err
}

func slotRanges(from []*pb.SlotRange) []Range {
	ranges := make([]Range, len(from))
	for i, r := range from {
		ranges[i] = Range{r.GetOffset(), r.GetLength()}
	}
	return ranges
}

// change is the one that a message belongs to; nil if the message is to be ignored.
func (c *session) change(id uint64, si caps.StorageIndex, err error) *incomingChange {
	ch := c.changes[id]
	if ch == nil || ch.err != nil {
		return nil
	}
	if err == nil && ch.si != si {
		err = fmt.Errorf("%w: another storage index than the change's", ErrInvalid)
	}
	if err != nil {
		c.refuse(ch, err)
		return nil
	}
	return ch
}

// mention enters a share of a change.
func (c *session) mention(id uint64, si caps.StorageIndex, err error, m *pb.SlotShare) {
	ch := c.change(id, si, err)
	if ch == nil {
		return
	}
	if err := c.enterShare(ch, m); err != nil {
		c.refuse(ch, err)
	}
}

func (c *session) enterShare(ch *incomingChange, m *pb.SlotShare) error {
	num, err := shareNum(m.GetShare())
	if err != nil {
		return err
	}
	if err := c.server.enter(c.peer, 1); err != nil {
		return err
	}
	ch.counted++
	share := ShareChange{Num: num, Truncate: m.GetTruncate(), Length: m.GetLength()}
	for _, t := range m.GetTests() {
		share.Tests = append(share.Tests, Test{t.GetOffset(), t.GetSize(), t.GetSpecimen()})
	}
	return ch.mention(share)
}

// writeSlot takes the bytes of a write off the stream and puts them in the change if everything is right with it.
func (c *session) writeSlot(id uint64, si caps.StorageIndex, err error, w *pb.SlotWrite) error {
	if w.GetLength() > MaxWriteBytes {
		// The place of the next request is not to be trusted.
		return fmt.Errorf("%w: a write of %d bytes", ErrInvalid, w.GetLength())
	}
	ch := c.change(id, si, err)
	buf := c.server.buffers.Get().(*[frameBytes]byte)
	defer c.server.buffers.Put(buf)
	offset := w.GetOffset()
	for left := w.GetLength(); ; {
		part := buf[:min(left, frameBytes)]
		if len(part) > 0 {
			if err := c.stream.ReadData(part); err != nil {
				return err
			}
		}
		left -= uint32(len(part)) //nolint:gosec // at most frameBytes
		if ch != nil && ch.err == nil {
			if err := ch.write(int(min(w.GetShare(), MaxShares)), offset, part); err != nil {
				c.refuse(ch, err)
			}
			offset += uint64(len(part))
		}
		if left == 0 {
			return nil
		}
	}
}

// applyChange ends a change and answers it.
func (c *session) applyChange(id uint64, si caps.StorageIndex, err error) error {
	ch := c.changes[id]
	if ch == nil {
		err = ErrNoUpload
		if len(c.changes) >= maxChangesPerStream {
			err = fmt.Errorf("%w: %d changes are under way on the stream", ErrTooMany, len(c.changes))
		}
		return c.stream.Send(refused(id, err))
	}
	defer c.dropChange(id)
	if c.change(id, si, err) == nil {
		c.logFailure(ch.err)
		return c.stream.Send(refused(id, ch.err))
	}
	result, err := ch.commit()
	if err != nil {
		c.logFailure(err)
		return c.stream.Send(refused(id, err))
	}
	for _, num := range slices.Sorted(maps.Keys(result.Read)) {
		parts := result.Read[num]
		lengths := make([]uint64, len(parts))
		for i, p := range parts {
			lengths[i] = uint64(len(p))
		}
		whole := bytes.Join(parts, nil)
		err := c.sendPart(id, num, lengths, func(frame []byte) error {
			whole = whole[copy(frame, whole):]
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.endSlot(id, result.Applied)
}

// dropChange forgets a change, wherever it is.
func (c *session) dropChange(id uint64) {
	if ch := c.changes[id]; ch != nil {
		c.release(ch)
		delete(c.changes, id)
	}
}

// readSlot answers with what is there of the ranges, share by share.
func (c *session) readSlot(id uint64, si caps.StorageIndex, r *pb.ReadSlot) error {
	nums := make([]int, len(r.GetShares()))
	for i, n := range r.GetShares() {
		nums[i] = int(min(n, MaxShares)) // what is too large stays so
	}
	ranges := slotRanges(r.GetRanges())
	o, err := c.store.snapshot(si, nums, ranges)
	if err != nil {
		c.logFailure(err)
		return c.stream.Send(refused(id, err))
	}
	defer o.close()
	for _, sh := range o.shares {
		left := make([]Range, 0, len(ranges))
		lengths := make([]uint64, len(ranges))
		for i, r := range ranges {
			r = r.Cut(sh.c.data)
			if lengths[i] = r.Length; r.Length > 0 {
				left = append(left, r)
			}
		}
		err := c.sendPart(id, sh.num, lengths, func(frame []byte) (err error) {
			left, err = fill(frame, left, sh.readAt)
			return err
		})
		if err != nil {
			var failed *readError
			if !errors.As(err, &failed) {
				return err
			}
			c.logFailure(err)
			return c.stream.Send(refused(id, failed.err))
		}
	}
	return c.endSlot(id, false)
}

// readError is a failure to read what was to be sent.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// sendPart sends one share's part of an answer; next gives its bytes. A *readError is next's, all others are the stream's.
func (c *session) sendPart(id uint64, num int, lengths []uint64, next func(frame []byte) error) error {
	part := &pb.SlotPart{Share: uint32(num), Lengths: lengths} //nolint:gosec // below MaxShares
	if err := c.stream.Send(&pb.Answer{Id: id, Body: &pb.Answer_SlotPart{SlotPart: part}}); err != nil {
		return err
	}
	total := uint64(0)
	for _, n := range lengths {
		total += n
	}
	if total == 0 {
		return nil
	}
	buf := c.server.buffers.Get().(*[frameBytes]byte)
	defer c.server.buffers.Put(buf)
	data := &pb.Data{}
	answer := &pb.Answer{Id: id, Body: &pb.Answer_Data{Data: data}}
	for total > 0 {
		frame := buf[:min(total, frameBytes)]
		if err := next(frame); err != nil {
			return &readError{err}
		}
		total -= uint64(len(frame))
		data.Length, data.Last = uint32(len(frame)), total == 0 //nolint:gosec // at most frameBytes
		if err := c.stream.SendData(answer, frame); err != nil {
			return err
		}
	}
	return nil
}

func (c *session) endSlot(id uint64, applied bool) error {
	return c.stream.Send(&pb.Answer{Id: id, Body: &pb.Answer_SlotEnd{SlotEnd: &pb.SlotEnd{Applied: applied}}})
}
