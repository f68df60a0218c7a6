package transfer

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

const (
	// leastRate is what a server's link must carry, in bytes per second, for
	// a step not to be given up.
	leastRate = 16 << 10
	// replayMost bounds the plaintext, in bytes, that is encoded again to
	// bring a share up to date on another server. A share that fails after
	// that is done without.
	replayMost = 64 << 20
)

// shareWriter brings one share to one server, and to another if that one
// fails early.
type shareWriter struct {
	u       *upload
	share   int
	queue   chan *slot
	written chan struct{} // closed when everything is sent or given up

	// Only the writer's goroutine touches these until it has ended.
	target  *target // nil: the share is given up
	sent    int     // segments written to target
	trailed bool    // trailer written to target
}

// run takes every slot of the queue, whatever happens: the others wait for it.
func (w *shareWriter) run(ctx context.Context) {
	for s := range w.queue {
		<-s.ready
		if w.target != nil && s.blocks != nil && ctx.Err() == nil {
			block := s.blocks.Data[w.share]
			w.try(ctx, func() error {
				watched := s.begin(ctx, w)
				defer s.end(w)
				return w.block(watched, s.seg, block)
			})
		}
		s.release()
	}
	sent := false
	select {
	case <-w.u.encoded:
		w.try(ctx, func() error { return w.trailer(ctx) })
		sent = true
	default: // the upload failed
	}
	close(w.written)
	if !sent || w.target == nil {
		return
	}
	select {
	case <-w.u.commit:
		w.try(ctx, func() error { return w.commit(ctx) })
	case <-ctx.Done():
	}
}

// try does a step, and if it fails moves the share to another server, brings
// it up to where it was there, and does the step again.
func (w *shareWriter) try(ctx context.Context, step func() error) {
	if w.target == nil || w.complete() {
		return
	}
	err := step()
	for err != nil && ctx.Err() == nil {
		upTo := w.sent
		if !w.move(ctx, err, upTo) {
			return
		}
		if w.complete() {
			return // the new server has the share already
		}
		if err = w.replay(ctx, upTo); err == nil {
			err = step()
		}
	}
}

// complete reports whether the target has the share, durably.
func (w *shareWriter) complete() bool {
	p := w.u.placer
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.target.have[w.share]
}

// move gives the target up and finds another, if the share is young enough.
func (w *shareWriter) move(ctx context.Context, reason error, segments int) bool {
	p := w.u.placer
	p.abandon(ctx, w.target, w.share, reason)
	w.target, w.trailed = nil, false
	if uint64(segments)*w.u.encoder.Geometry().SegmentSize <= replayMost {
		w.target = p.replace(ctx, w.share)
		w.sent = 0
	}
	w.u.hopeful()
	return w.target != nil
}

// replay brings a new target up to date by encoding the first segments again.
func (w *shareWriter) replay(ctx context.Context, segments int) error {
	for seg := range segments {
		if err := w.replayBlock(ctx, seg); err != nil {
			return err
		}
	}
	return nil
}

func (w *shareWriter) replayBlock(ctx context.Context, seg int) error {
	block, err := w.u.encodeAgain(seg, w.share)
	if err != nil {
		w.u.cancel(err)
		return err
	}
	return w.block(ctx, seg, block)
}

// encodeAgain makes one share's block of a segment that was encoded before.
func (u *upload) encodeAgain(seg, share int) ([]byte, error) {
	u.replays <- struct{}{} // held while the source is read, which may be far away
	defer func() { <-u.replays }()
	g := u.encoder.Geometry()
	if u.scratch == nil {
		u.scratch = make([]byte, g.N*g.BlockLen(0))
	}
	data := u.scratch[:g.SegmentLen(seg)]
	if n, err := u.src.ReadAt(data, int64(g.SegmentOffset(seg))); n < len(data) {
		return nil, fmt.Errorf("reading segment %d again: %w", seg, err)
	}
	if !u.sealed {
		u.stream.XOR(data, data, g.SegmentOffset(seg))
	}
	clear(u.scratch[len(data):g.PaddedLen(seg)])
	size := g.BlockLen(seg)
	blocks := make([][]byte, g.N)
	for i := range blocks {
		blocks[i] = u.scratch[i*size : (i+1)*size]
	}
	if err := u.code.Encode(blocks); err != nil {
		return nil, fmt.Errorf("encoding segment %d again: %w", seg, err)
	}
	return bytes.Clone(blocks[share]), nil
}

// block writes the share's block of a segment, after the header if it is the
// first.
func (w *shareWriter) block(ctx context.Context, seg int, block []byte) error {
	layout := w.u.encoder.Layout()
	if seg == 0 {
		if err := w.write(ctx, 0, layout.Header()); err != nil {
			return err
		}
	}
	offset, _ := layout.BlockRange(w.u.encoder.Geometry(), seg, 1)
	if err := w.write(ctx, offset, block); err != nil {
		return err
	}
	w.sent = seg + 1
	return nil
}

func (w *shareWriter) trailer(ctx context.Context) error {
	err := w.write(ctx, w.u.encoder.Layout().PlaintextTree, w.u.result.Trailer(w.share))
	w.trailed = err == nil
	return err
}

func (w *shareWriter) write(ctx context.Context, offset uint64, data []byte) error {
	allowed := w.u.cfg.Timeout + time.Duration(len(data))*time.Second/leastRate
	limited, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	err := w.target.server.Write(limited, w.u.placer.si, w.share, offset, data)
	if err != nil && limited.Err() != nil {
		return errSilent
	}
	return err
}

// commit makes the share durable. After a move the trailer is not there yet.
func (w *shareWriter) commit(ctx context.Context) error {
	if !w.trailed {
		if err := w.trailer(ctx); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, w.u.cfg.CommitTimeout)
	defer cancel()
	p := w.u.placer
	err := w.target.server.Commit(limited, p.si, w.share)
	if err != nil {
		if limited.Err() != nil {
			return errSilent
		}
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(w.target.open, w.share)
	w.target.have[w.share] = true
	return nil
}
