package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

const (
	// readTimeout is how long an asker waits on a stream of reads that brings nothing at all.
	readTimeout = 30 * time.Second
	// writeTimeout is the same for uploads: a commit ends when the server's disk has everything.
	writeTimeout = 5 * time.Minute
	// laneIdle is when the asker closes a stream it has no use for; servers would a minute later.
	laneIdle = time.Minute
	// cancelGrace is how long a cancelled call waits for the frame that is on its way into, or out of,
	// the caller's memory. A stream that needs longer has stalled in the middle of that frame, and is
	// reset, since nothing else can pass it either.
	cancelGrace = 2 * time.Second
	// fillBytes is how much is received into a caller's memory before looking whether it was cancelled.
	fillBytes = 64 << 10
	// forever stands for no step deadline: calls have their own.
	forever = 1 << 20 * time.Hour
)

// lane is one stream to a server with many requests in flight on it. One goroutine receives, callers
// send.
type lane struct {
	stream  *p2p.Stream
	timeout time.Duration // without progress, while calls wait
	sending chan struct{} // holds a token while somebody sends
	frames  atomic.Uint64 // received: what progress is measured by

	mu      sync.Mutex
	next    uint64 // the last id given out
	calls   map[uint64]*call
	uploads map[uint64]*remoteUpload
	idle    *time.Timer // closes the stream; stopped while anything is in flight
	err     error       // why the lane is dead
}

// call is one request that waits for its answer.
type call struct {
	id     uint64
	dst    [][]byte    // still to be filled by Data frames
	slot   *slotAnswer // of a call about a slot; the receiver's until done
	answer *pb.Answer
	err    error
	done   chan struct{} // closed after answer or err is set

	// Guarded by lane.mu.
	filling   bool          // the receiver writes into dst
	cancelled chan struct{} // set by the caller that gave up while filling; the receiver closes it
}

// newLane starts the receiver, which wg counts.
func newLane(s *p2p.Stream, timeout time.Duration, wg *sync.WaitGroup) *lane {
	l := &lane{
		stream:  s,
		timeout: timeout,
		sending: make(chan struct{}, 1),
		calls:   make(map[uint64]*call),
		uploads: make(map[uint64]*remoteUpload),
	}
	s.SetStepTimeout(forever)
	l.idle = time.AfterFunc(laneIdle, func() { l.closeIfIdle() })
	wg.Go(func() { l.fail(l.receive()) })
	return l
}

// dead says why the lane cannot be used, or nil.
func (l *lane) dead() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// load is how much is in flight.
func (l *lane) load() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls) + len(l.uploads)
}

func (l *lane) closeIfIdle() {
	l.mu.Lock()
	idle := l.err == nil && len(l.calls) == 0 && len(l.uploads) == 0
	l.mu.Unlock()
	if idle {
		l.fail(errIdle)
	}
}

var errIdle = errors.New("the stream was not used for a while")

// fail ends the lane and everything that waits on it. The first error counts. The receiver calls it last:
// a call into whose memory it was writing is left to that.
func (l *lane) fail(err error) {
	l.stream.Reset()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		var remote *p2p.RemoteError
		if !errors.As(err, &remote) { // a kind that the server gave says more
			err = fmt.Errorf("%w: stream to the server ended: %w", p2p.ErrUnavailable, err)
		}
		l.err = err
		l.idle.Stop()
	}
	for _, c := range l.calls {
		if !c.filling {
			c.err = l.err
			l.complete(c)
		}
	}
	clear(l.uploads)
}

// start enters a call.
func (l *lane) start(dst [][]byte) (*call, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.next++
	c := &call{id: l.next, dst: dst, done: make(chan struct{})}
	l.calls[c.id] = c
	l.idle.Stop()
	return c, nil
}

// touch starts the idle time when nothing is in flight. The caller holds l.mu.
func (l *lane) touch() {
	if l.err == nil && len(l.calls) == 0 && len(l.uploads) == 0 {
		l.idle.Reset(laneIdle)
	}
}

// send sends a request, and data right behind it.
func (l *lane) send(ctx context.Context, r *pb.Request, data []byte) error {
	select {
	case l.sending <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stream.Context().Done():
		return l.ended()
	}
	defer func() { <-l.sending }()
	if err := ctx.Err(); err != nil {
		return err
	}
	defer l.deadline(ctx)()
	if err := l.stream.SendData(r, data); err != nil {
		if ctx.Err() != nil {
			l.fail(errors.New("a request was given up while it was being sent"))
			return ctx.Err()
		}
		l.fail(err)
		return l.ended()
	}
	return nil
}

// deadline resets the stream if what is being sent now is not through in time. The result ends it.
func (l *lane) deadline(ctx context.Context) (sent func()) {
	stalled := time.AfterFunc(l.timeout, l.stream.Reset)
	var mu sync.Mutex
	over := false
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over { // else the timer would start anew, for a stream on which others send
			stalled.Reset(cancelGrace)
		}
	})
	return func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
		stalled.Stop()
	}
}

// ended is why the lane is dead, once its stream is.
func (l *lane) ended() error {
	if err := l.dead(); err != nil {
		return err
	}
	return fmt.Errorf("%w: stream to the server ended", p2p.ErrUnavailable)
}

// wait waits for the answer to a call. When it returns, nothing writes into the call's memory any more.
func (l *lane) wait(ctx context.Context, c *call) error {
	err := l.await(ctx, c)
	if ctx.Err() != nil {
		l.cancel(c)
	}
	return err
}

// await is wait without taking the call back when ctx ends.
func (l *lane) await(ctx context.Context, c *call) error {
	seen := l.frames.Load()
	timer := time.NewTimer(l.timeout)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			now := l.frames.Load()
			if now == seen {
				l.fail(p2p.ErrStepTimeout)
				<-c.done
				return c.err
			}
			seen = now
			timer.Reset(l.timeout)
		}
	}
}

// cancel takes a call back. Its answer, when it comes, is read and dropped.
func (l *lane) cancel(c *call) {
	l.mu.Lock()
	delete(l.calls, c.id)
	l.touch()
	if !c.filling {
		l.mu.Unlock()
		return
	}
	released := make(chan struct{})
	c.cancelled = released
	l.mu.Unlock()

	timer := time.NewTimer(cancelGrace)
	defer timer.Stop()
	select {
	case <-released:
	case <-timer.C:
		l.fail(p2p.ErrStepTimeout)
		<-released
	}
}

// do sends one request and waits for its answer.
func (l *lane) do(ctx context.Context, r *pb.Request) (*pb.Answer, error) {
	c, err := l.start(nil)
	if err != nil {
		return nil, err
	}
	r.Id = c.id
	if err := l.send(ctx, r, nil); err != nil {
		l.cancel(c)
		return nil, err
	}
	if err := l.wait(ctx, c); err != nil {
		return nil, err
	}
	return c.answer, nil
}

// receive reads answers until the stream ends, and says why it did.
func (l *lane) receive() error {
	for {
		var a pb.Answer
		if err := l.stream.Receive(&a, maxMessage); err != nil {
			return err
		}
		l.frames.Add(1)
		if p := a.GetSlotPart(); p != nil {
			if err := l.receivePart(a.GetId(), p); err != nil {
				return err
			}
			continue
		}
		if d := a.GetData(); d != nil {
			if err := l.receiveData(a.GetId(), d); err != nil {
				return err
			}
			continue
		}
		l.finish(&a)
	}
}

// finish gives an answer to the call that waits for it. One that nobody waits for was cancelled.
func (l *lane) finish(a *pb.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := a.GetRefusal()
	if u := l.uploads[a.GetId()]; u != nil {
		if r != nil && u.err == nil {
			u.err = newRefusedError(r.GetFailure(), r.GetReason())
		}
		return
	}
	c := l.calls[a.GetId()]
	if c == nil {
		return
	}
	if c.answer = a; r != nil {
		c.err = newRefusedError(r.GetFailure(), r.GetReason())
	} else if c.slot != nil {
		c.err = c.slot.end(a.GetSlotEnd())
	} else if c.dst != nil {
		c.err = fmt.Errorf("%w: an answer without data", p2p.ErrMalformed)
	}
	l.complete(c)
}

// complete ends a call. The caller holds l.mu.
func (l *lane) complete(c *call) {
	delete(l.calls, c.id)
	close(c.done)
	l.touch()
}

// receiveData takes one frame of data off the stream, into the memory of its call if that still waits.
func (l *lane) receiveData(id uint64, d *pb.Data) error {
	left := int(d.GetLength())
	if left == 0 || left > frameBytes {
		return fmt.Errorf("%w: a frame of %d bytes", p2p.ErrMalformed, left)
	}
	l.mu.Lock()
	c := l.calls[id]
	l.mu.Unlock()
	if c != nil && c.slot != nil {
		return c.slot.receive(l, left, d.GetLast())
	}
	for left > 0 {
		n, err := l.fill(c, left)
		if err != nil {
			return err
		}
		left -= n
		l.frames.Add(1)
	}
	if c == nil || !d.GetLast() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[id] != c {
		return nil
	}
	if len(c.dst) > 0 {
		c.err = fmt.Errorf("%w: fewer bytes than asked for", p2p.ErrMalformed)
	}
	l.complete(c)
	return nil
}

// fill receives at most n bytes into the call's memory, or drops them if the call is over.
func (l *lane) fill(c *call, n int) (int, error) {
	n = min(n, fillBytes)
	l.mu.Lock()
	if c == nil || l.calls[c.id] != c {
		l.mu.Unlock()
		var sink [4 << 10]byte
		n = min(n, len(sink))
		return n, l.stream.ReadData(sink[:n])
	}
	if len(c.dst) == 0 {
		l.mu.Unlock()
		return 0, fmt.Errorf("%w: more bytes than asked for", p2p.ErrMalformed)
	}
	piece := c.dst[0][:min(n, len(c.dst[0]))]
	c.filling = true
	l.mu.Unlock()

	err := l.stream.ReadData(piece)

	l.mu.Lock()
	defer l.mu.Unlock()
	c.filling = false
	if c.cancelled != nil {
		close(c.cancelled)
		return len(piece), err
	}
	if err == nil {
		err = l.err
	}
	if err != nil {
		return 0, err
	}
	if c.dst[0] = c.dst[0][len(piece):]; len(c.dst[0]) == 0 {
		c.dst = c.dst[1:]
	}
	return len(piece), nil
}
