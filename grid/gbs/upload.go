package gbs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"trunkline/caps"
	"trunkline/grid/storage"
)

const (
	// chunkMost is how many bytes of a share are sent in one request; Tahoe's own client sends as many.
	chunkMost = 1 << 20
	// chunkLeast is the least, where many shares go to one server.
	chunkLeast = 64 << 10
	// chunkMemory is what the chunks of one allocation may take, in bytes.
	chunkMemory = 8 << 20
	// maxGaps bounds the pieces in which a share may be written out of order.
	maxGaps = 256
)

// upload is one share that is being uploaded. Writes gather in a chunk, and a full chunk is sent while the next one
// fills. The server makes a share visible when its last byte arrives, so the chunk that would complete it waits for
// Commit.
type upload struct {
	server *Server
	id     shareID
	size   uint64
	secret []byte
	most   int // bytes of a chunk

	turn chan struct{} // held by the call that uses what follows

	chunk   []byte        // not sent yet
	at      uint64        // where chunk begins
	spare   []byte        // the other chunk's memory
	written spans         // sent or in chunk
	sending chan struct{} // closed when the chunk on its way has arrived; nil: none
	stop    context.CancelFunc

	mu  sync.Mutex
	err error // the first failure of a chunk
}

// open enters uploads.
func (s *Server) open(si caps.StorageIndex, nums []int, size uint64, secret []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, num := range nums {
		id := shareID{si, num}
		s.uploads[id] = &upload{
			server: s, id: id, size: size, secret: secret, turn: make(chan struct{}, 1),
			most: max(chunkLeast, min(chunkMost, chunkMemory/2/len(nums))),
		}
	}
}

// upload finds an upload and waits for its turn.
func (s *Server) upload(ctx context.Context, id shareID) (u *upload, done func(), err error) {
	s.mu.Lock()
	u = s.uploads[id]
	s.mu.Unlock()
	if u == nil {
		return nil, nil, storage.ErrNoUpload
	}
	select {
	case u.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[id] != u {
		<-u.turn
		return nil, nil, storage.ErrNoUpload
	}
	return u, func() { <-u.turn }, nil
}

// forget takes an upload that ended off the books.
func (s *Server) forget(u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[u.id] == u {
		delete(s.uploads, u.id)
	}
}

// Write takes bytes of an allocated share and does not wait for them to arrive: an error may come from a later Write,
// and comes from Commit at the latest.
//
// Errors: storage.ErrNoUpload, ErrRange, ErrConflict, ErrTooMany; transport.
func (s *Server) Write(ctx context.Context, si caps.StorageIndex, num int, offset uint64, data []byte) (err error) {
	defer withShare(num, &err)
	u, done, err := s.upload(ctx, shareID{si, num})
	if err != nil {
		return err
	}
	defer done()
	if offset > u.size || uint64(len(data)) > u.size-offset {
		return storage.ErrRange
	}
	if err := u.failed(); err != nil || len(data) == 0 {
		return err
	}
	end := offset + uint64(len(data))
	if u.written.touches(offset, end) {
		return u.rewrite(ctx, offset, data)
	}
	return u.add(ctx, offset, data)
}

// add takes bytes that are new.
func (u *upload) add(ctx context.Context, offset uint64, data []byte) error {
	if len(u.chunk) > 0 && offset != u.at+uint64(len(u.chunk)) {
		if err := u.flush(ctx); err != nil {
			return err
		}
	}
	for len(data) > 0 {
		if len(u.chunk) == 0 {
			u.at = offset
		}
		n := min(len(data), u.most-len(u.chunk))
		u.chunk = append(u.chunk, data[:n]...)
		u.written.add(offset, offset+uint64(n))   //nolint:gosec // not negative
		data, offset = data[n:], offset+uint64(n) //nolint:gosec // not negative
		if len(u.written) > maxGaps {
			return fmt.Errorf("%w: pieces out of order", storage.ErrTooMany)
		}
		if len(u.chunk) == u.most && !u.written.covers(u.size) {
			if err := u.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// rewrite takes bytes of which some were written before. Those must be the same: here they are compared with what is
// not sent yet, and by the server with what is.
func (u *upload) rewrite(ctx context.Context, offset uint64, data []byte) error {
	for len(data) > 0 {
		n, where := u.run(offset, uint64(len(data)))
		part := data[:n]
		switch where {
		case inChunk:
			if !bytes.Equal(part, u.chunk[offset-u.at:][:n]) {
				return u.fail(storage.ErrConflict)
			}
		case sentBefore:
			if err := u.settle(ctx); err != nil {
				return err
			}
			if _, err := u.send(ctx, offset, part); err != nil {
				return u.fail(err)
			}
		case unwritten:
			if err := u.add(ctx, offset, part); err != nil {
				return err
			}
		}
		data, offset = data[n:], offset+n
	}
	return nil
}

// Where bytes of a share are.
const (
	unwritten = iota
	inChunk
	sentBefore
)

// run says where the bytes from offset on are, and how many of them, at most length, are in the same place.
func (u *upload) run(offset, length uint64) (n uint64, where int) {
	place := func(at uint64) int {
		switch {
		case at >= u.at && at < u.at+uint64(len(u.chunk)):
			return inChunk
		case u.written.touches(at, at+1):
			return sentBefore
		}
		return unwritten
	}
	edges := []uint64{u.at, u.at + uint64(len(u.chunk)), offset + length}
	for _, s := range u.written {
		edges = append(edges, s.begin, s.end)
	}
	slices.Sort(edges)
	i := slices.IndexFunc(edges, func(e uint64) bool { return e > offset })
	return min(edges[i]-offset, length), place(offset)
}

// Commit ends an upload and returns when the server has the share complete. Tahoe's servers answer before their disks
// have it. After ErrIncomplete the upload is still open; after any other error it is gone, and whether the server
// has the share is unknown if the error is one of transport.
//
// Errors: storage.ErrIncomplete, ErrNoUpload, ErrConflict, and what a Write left behind; transport.
func (s *Server) Commit(ctx context.Context, si caps.StorageIndex, num int) (err error) {
	defer withShare(num, &err)
	u, done, err := s.upload(ctx, shareID{si, num})
	if err != nil {
		return err
	}
	defer done()
	if !u.written.covers(u.size) {
		if err := u.failed(); err == nil {
			return storage.ErrIncomplete
		}
	}
	err = u.complete(ctx)
	s.forget(u)
	s.ahead.forget(u.id)
	if err != nil {
		s.drop(u)
	}
	return err
}

// complete sends what is left.
func (u *upload) complete(ctx context.Context) error {
	if err := u.settle(ctx); err != nil {
		return err
	}
	if err := u.failed(); err != nil {
		return err
	}
	complete, err := u.send(ctx, u.at, u.chunk)
	if errors.Is(err, storage.ErrNoUpload) {
		// The server may have completed it, and the answer was lost.
		nums, listErr := u.server.list(ctx, immutable, u.id.si)
		complete, err = listErr == nil && slices.Contains(nums, u.id.num), nil
		if !complete {
			return storage.ErrNoUpload
		}
	}
	if err != nil {
		return err
	}
	if !complete {
		return fmt.Errorf("%w: it lacks bytes that it took", ErrProtocol)
	}
	return nil
}

// Abort gives an upload up; the server keeps nothing of it.
//
// Errors: storage.ErrNoUpload; transport, after which the server forgets it later.
func (s *Server) Abort(ctx context.Context, si caps.StorageIndex, num int) (err error) {
	defer withShare(num, &err)
	s.mu.Lock()
	u := s.uploads[shareID{si, num}]
	delete(s.uploads, shareID{si, num})
	s.mu.Unlock()
	if u == nil {
		return storage.ErrNoUpload
	}
	u.cancel()
	err = s.abort(ctx, u.id, u.secret)
	if err != nil {
		s.drop(u)
	}
	return err
}

// drop has the server give an upload up whose caller does not wait any more.
func (s *Server) drop(u *upload) {
	u.cancel()
	s.background(func(ctx context.Context) { _ = s.abort(ctx, u.id, u.secret) }) // it forgets it by itself, later
}

// cancel ends the chunk that is on its way.
func (u *upload) cancel() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stop != nil {
		u.stop()
	}
}

// flush sends the chunk, behind the one that is on its way.
func (u *upload) flush(ctx context.Context) error {
	if err := u.settle(ctx); err != nil {
		return err
	}
	if err := u.failed(); err != nil {
		return err
	}
	chunk, at, sent := u.chunk, u.at, make(chan struct{})
	u.chunk, u.spare = u.spare[:0], chunk
	u.sending = sent
	limited, stop := context.WithCancel(u.server.ctx)
	u.mu.Lock()
	u.stop = stop
	u.mu.Unlock()
	u.server.background(func(context.Context) {
		defer close(sent)
		defer stop()
		if _, err := u.send(limited, at, chunk); err != nil {
			_ = u.fail(err)
		}
	})
	return nil
}

// settle waits for the chunk that is on its way. Its failure is in failed.
func (u *upload) settle(ctx context.Context) error {
	if u.sending == nil {
		return nil
	}
	select {
	case <-u.sending:
		u.sending = nil
		return nil
	case <-u.server.ctx.Done():
		return storage.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send writes bytes and waits for the answer, which says whether the share is complete. It may be repeated: the same
// bytes do no harm.
func (u *upload) send(ctx context.Context, at uint64, data []byte) (complete bool, err error) {
	q := request{
		step: "writing", method: http.MethodPatch, path: sharePath(immutable, u.id.si, strconv.Itoa(u.id.num)),
		parts: [][]byte{data}, raw: true, again: true,
		header: [][2]string{{"Content-Range", fmt.Sprintf("bytes %d-%d/*", at, at+uint64(len(data))-1)}},
	}
	q.secret(uploadSecret, u.secret)
	err = u.server.do(ctx, q, func(resp *http.Response) error {
		complete = resp.StatusCode == http.StatusCreated
		_, err := readBody(resp, maxMessage)
		return err
	})
	switch {
	case isStatus(err, http.StatusConflict):
		return false, fmt.Errorf("writing: %w", storage.ErrConflict)
	case isStatus(err, http.StatusNotFound):
		return false, storage.ErrNoUpload
	}
	return complete, err
}

func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// fail keeps the first failure.
func (u *upload) fail(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
	}
	return u.err
}

// withShare names the share in an error.
func withShare(num int, err *error) {
	if *err != nil {
		*err = fmt.Errorf("share %d: %w", num, *err)
	}
}
