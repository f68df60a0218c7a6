package gbs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"golang.org/x/sync/errgroup"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/storage"
)

// together is how many requests of one call are under way at once.
const together = 4

// shareID names one share of the server.
type shareID struct {
	si  caps.StorageIndex
	num int
}

// Shares lists the complete immutable shares that the server has of si, ascending; none is not an error.
//
// The protocol does not tell how long a share is. It follows from where the server cuts a range that goes on beyond
// the end; and what comes with such ranges, the share's beginning and end, is what its reader asks for next, so it is
// kept for a moment.
//
// Errors: storage.ErrMutable; transport.
func (s *Server) Shares(ctx context.Context, si caps.StorageIndex) ([]storage.ShareInfo, error) {
	nums, err := s.list(ctx, immutable, si)
	if err != nil {
		return nil, s.otherKind(ctx, immutable, si, err)
	}
	infos := make([]storage.ShareInfo, len(nums))
	all, each := errgroup.WithContext(ctx)
	all.SetLimit(together)
	for i, num := range nums {
		all.Go(func() error {
			size, err := s.measure(each, shareID{si, num})
			if errors.Is(err, storage.ErrNotFound) {
				return nil // removed since it was listed
			}
			if err != nil {
				return fmt.Errorf("measuring share %d: %w", num, err)
			}
			infos[i] = storage.ShareInfo{Num: num, Size: size}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	found := infos[:0]
	for _, info := range infos {
		if info.Size > 0 {
			found = append(found, info)
		}
	}
	return found, nil
}

// measure learns a share's length.
func (s *Server) measure(ctx context.Context, id shareID) (uint64, error) {
	head, err := s.piece(ctx, id, 0, aheadHead)
	if err != nil {
		return 0, err
	}
	if len(head.data) < aheadHead {
		s.ahead.put(id, []*piece{head})
		return uint64(len(head.data)), nil
	}
	at, ok := uebAt(head.data)
	if !ok {
		return s.lastByte(ctx, id)
	}
	from := at - min(at, chk.TailMax)
	tail, err := s.piece(ctx, id, from, 2*chk.TailMax)
	if err != nil {
		return 0, err
	}
	end := from + uint64(len(tail.data))
	if len(tail.data) == 2*chk.TailMax || end <= at {
		return s.lastByte(ctx, id) // it is not what its header says
	}
	s.ahead.put(id, []*piece{head, tail})
	return end, nil
}

// uebAt is where a share's header says that its last part begins.
func uebAt(head []byte) (uint64, bool) {
	var at uint64
	switch binary.BigEndian.Uint32(head) {
	case 1:
		at = uint64(binary.BigEndian.Uint32(head[32:]))
	case 2:
		at = binary.BigEndian.Uint64(head[60:])
	}
	return at, at > 0 && at <= storage.MaxShareBytes
}

// piece reads a part of a share, as long as it goes on.
func (s *Server) piece(ctx context.Context, id shareID, at, length uint64) (*piece, error) {
	p := &piece{id: id, at: at}
	err := s.fetch(ctx, immutable, id.si, id.num, at, length, func(r io.Reader, n uint64) error {
		p.data = make([]byte, n)
		_, err := io.ReadFull(r, p.data)
		return err
	})
	p.loaded = s.cfg.Now()
	return p, err
}

// lastByte learns the length of what does not look like a share. The server reads it all to answer, and sends
// nothing.
func (s *Server) lastByte(ctx context.Context, id shareID) (uint64, error) {
	var size uint64
	q := request{
		step: "measuring", method: http.MethodHead, path: sharePath(immutable, id.si, strconv.Itoa(id.num)), again: true,
		header: [][2]string{{"Range", fmt.Sprintf("bytes=0-%d", int64(math.MaxInt64-1))}},
	}
	err := s.do(ctx, q, func(resp *http.Response) error {
		var err error
		size, err = partLength(resp, 0, math.MaxInt64)
		return err
	})
	s.ahead.forget(id)
	if isStatus(err, http.StatusNotFound) {
		err = storage.ErrNotFound
	}
	return size, err
}
