package storage

import (
	"context"
	"fmt"
	"slices"

	"trunkline/caps"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

// ReadSlot reads ranges of the mutable shares that the server has of si: of those in nums that exist, or of all if nums
// is empty; by share number, each range cut at the end of the share. What it brings is of one moment, between two
// changes, and at most MaxSlotReadBytes. Without ranges it tells which shares there are. None is no error. The caller
// owns the result.
//
// Errors: ErrImmutable, ErrInvalid (too much is there, too), ErrTooMany; transport.
func (r *Remote) ReadSlot(ctx context.Context, si caps.StorageIndex, nums []int, ranges []Range) (map[int][][]byte, error) {
	if err := ValidateReadSlot(nums, ranges); err != nil {
		return nil, err
	}
	ask := &pb.ReadSlot{Ranges: pbRanges(ranges)}
	for _, num := range nums {
		ask.Shares = append(ask.Shares, uint32(num)) //nolint:gosec // checked
	}
	l, err := r.lane(ctx, r.reads[:])
	if err != nil {
		return nil, err
	}
	c, err := l.start(nil)
	if err != nil {
		return nil, err
	}
	answer := &slotAnswer{nums: nums, ranges: ranges, room: MaxSlotReadBytes, read: make(map[int][][]byte)}
	l.expectSlot(c, answer)
	q := &pb.Request{StorageIndex: si[:], Body: &pb.Request_ReadSlot{ReadSlot: ask}}
	q.Id = c.id
	if err := l.send(ctx, q, nil); err != nil {
		l.cancel(c)
		return nil, fmt.Errorf("reading a slot: %w", err)
	}
	if err := l.wait(ctx, c); err != nil {
		return nil, fmt.Errorf("reading a slot: %w", err)
	}
	return answer.read, nil
}

func pbRanges(ranges []Range) []*pb.SlotRange {
	to := make([]*pb.SlotRange, len(ranges))
	for i, r := range ranges {
		to[i] = &pb.SlotRange{Offset: r.Offset, Length: r.Length}
	}
	return to
}

// TestWrite changes the mutable shares that the server has of si if every test holds: all of it happens, or nothing, and
// it is durable when TestWrite returns. t is not kept.
//
// Errors: ErrEnabler, ErrImmutable, ErrInvalid, ErrConflict (something else stands in a share's place), ErrNoSpace,
// ErrReadOnly, ErrTooMany: nothing happened. After ErrFailed and errors of transport, or when ctx ended, it may have
// happened or not.
func (r *Remote) TestWrite(ctx context.Context, si caps.StorageIndex, t TestWrite) (TestWriteResult, error) {
	if err := t.Validate(); err != nil {
		return TestWriteResult{}, err
	}
	l, err := r.lane(ctx, r.writes[:])
	if err != nil {
		return TestWriteResult{}, err
	}
	c, err := l.start(nil)
	if err != nil {
		return TestWriteResult{}, err
	}
	answer := &slotAnswer{ranges: t.Reads, room: MaxSlotReadBack, read: make(map[int][][]byte)}
	l.expectSlot(c, answer)
	if err := sendChange(ctx, l, c.id, si, t); err != nil {
		l.cancel(c)
		r.background(func(ctx context.Context) { // the server drops what came of it
			_ = l.send(ctx, &pb.Request{Id: c.id, StorageIndex: si[:], Body: &pb.Request_SlotDrop{SlotDrop: &pb.SlotDrop{}}}, nil)
		})
		return TestWriteResult{}, fmt.Errorf("changing a slot: %w", err)
	}
	if err := l.wait(ctx, c); err != nil {
		return TestWriteResult{}, fmt.Errorf("changing a slot: %w", err)
	}
	return TestWriteResult{Applied: c.answer.GetSlotEnd().GetApplied(), Read: answer.read}, nil
}

// sendChange sends all messages of a test-and-write.
func sendChange(ctx context.Context, l *lane, id uint64, si caps.StorageIndex, t TestWrite) error {
	q := &pb.Request{Id: id, StorageIndex: si[:], Body: &pb.Request_TestWrite{TestWrite: &pb.TestWrite{
		WriteEnabler: t.Enabler[:], RenewSecret: t.Renew[:], CancelSecret: t.Cancel[:], Reads: pbRanges(t.Reads),
	}}}
	if err := l.send(ctx, q, nil); err != nil {
		return err
	}
	for _, share := range t.Shares {
		num := uint32(share.Num) //nolint:gosec // checked
		m := &pb.SlotShare{Share: num, Truncate: share.Truncate, Length: share.Length}
		for _, test := range share.Tests {
			m.Tests = append(m.Tests, &pb.SlotTest{Offset: test.Offset, Size: test.Size, Specimen: test.Specimen})
		}
		q.Body = &pb.Request_SlotShare{SlotShare: m}
		if err := l.send(ctx, q, nil); err != nil {
			return err
		}
		for _, w := range share.Writes {
			for first, data := true, w.Data; first || len(data) > 0; first = false {
				part := data[:min(len(data), MaxWriteBytes)]
				q.Body = &pb.Request_SlotWrite{SlotWrite: &pb.SlotWrite{
					Share: num, Offset: w.Offset + uint64(len(w.Data)-len(data)), Length: uint32(len(part)), //nolint:gosec // bounded
				}}
				if err := l.send(ctx, q, part); err != nil {
					return err
				}
				data = data[len(part):]
			}
		}
	}
	q.Body = &pb.Request_SlotApply{SlotApply: &pb.SlotApply{}}
	return l.send(ctx, q, nil)
}

// firstGrowth is how much memory a range gets when its first bytes come.
const firstGrowth = 1 << 20

// slotAnswer is an answer about a slot as it comes in, and what bounds it.
type slotAnswer struct {
	nums   []int // that were asked for; empty: all
	ranges []Range
	room   uint64 // bytes that may still come
	read   map[int][][]byte

	last    int      // the number of the last share, plus one
	lengths []uint64 // of its ranges from the one at hand on
	at      int      // the range at hand
}

// expectSlot says what the call waits for.
func (l *lane) expectSlot(c *call, a *slotAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.slot = a
}

// receivePart takes in that a share's bytes will follow.
func (l *lane) receivePart(id uint64, p *pb.SlotPart) error {
	l.mu.Lock()
	c := l.calls[id]
	l.mu.Unlock()
	if c == nil {
		return nil // it was cancelled
	}
	if c.slot == nil {
		return fmt.Errorf("%w: another kind of answer", p2p.ErrMalformed)
	}
	return c.slot.begin(p)
}

func (a *slotAnswer) begin(p *pb.SlotPart) error {
	num, err := shareNum(p.GetShare())
	if err != nil || num < a.last || len(a.lengths) > 0 || len(a.nums) > 0 && !slices.Contains(a.nums, num) {
		return fmt.Errorf("%w: a share out of order, or that was not asked for", p2p.ErrMalformed)
	}
	if len(p.GetLengths()) != len(a.ranges) {
		return fmt.Errorf("%w: %d ranges of a share for %d", p2p.ErrMalformed, len(p.GetLengths()), len(a.ranges))
	}
	for i, n := range p.GetLengths() {
		if n > a.ranges[i].Length || n > a.room {
			return fmt.Errorf("%w: more bytes than asked for", p2p.ErrMalformed)
		}
		a.room -= n
	}
	a.last = num + 1
	parts := make([][]byte, len(a.ranges))
	for i := range parts {
		parts[i] = []byte{}
	}
	a.read[num] = parts
	a.lengths, a.at = p.GetLengths(), 0
	a.skip()
	return nil
}

// skip goes to the next range that wants bytes.
func (a *slotAnswer) skip() {
	for len(a.lengths) > 0 && a.lengths[0] == 0 {
		a.lengths, a.at = a.lengths[1:], a.at+1
	}
}

// receive takes n bytes of a frame off the stream. Memory grows with what comes, not with what is announced.
func (a *slotAnswer) receive(l *lane, n int, last bool) error {
	for n > 0 {
		if len(a.lengths) == 0 {
			return fmt.Errorf("%w: more bytes than asked for", p2p.ErrMalformed)
		}
		want := int(min(uint64(min(n, fillBytes)), a.lengths[0])) //nolint:gosec // at most fillBytes
		part := &a.read[a.last-1][a.at]
		have := len(*part)
		if have == 0 {
			*part = make([]byte, 0, min(a.lengths[0], firstGrowth))
		}
		*part = slices.Grow(*part, want)[:have+want]
		if err := l.stream.ReadData((*part)[have:]); err != nil {
			return err
		}
		l.frames.Add(1)
		n -= want
		a.lengths[0] -= uint64(want)
		a.skip()
	}
	if last != (len(a.lengths) == 0) {
		return fmt.Errorf("%w: fewer bytes than announced", p2p.ErrMalformed)
	}
	return nil
}

// end checks that the answer is whole.
func (a *slotAnswer) end(e *pb.SlotEnd) error {
	if e == nil {
		return fmt.Errorf("%w: another kind of answer", p2p.ErrMalformed)
	}
	if len(a.lengths) > 0 {
		return fmt.Errorf("%w: fewer bytes than announced", p2p.ErrMalformed)
	}
	return nil
}
