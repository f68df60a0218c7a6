package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"runtime"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/fec"
)

const (
	// busyFirst and busyMost are how long an upload stands back before it
	// tries again to place shares that somebody else is uploading.
	busyFirst = 100 * time.Millisecond
	busyMost  = 2 * time.Second
)

// Upload stores the first size bytes of src and returns their cap.
//
// src is read twice with a convergent key, once without, from several
// goroutines at a time; it must not change meanwhile. Shares that the grid has
// already are not sent again. When Upload returns without error every share of
// the placement is durable; when it returns with one, no share that was not
// complete is left on a server that could be told.
//
// Errors: [UnhappyError] (which matches [ErrUnhappy]), [ErrConfig],
// [ErrSourceChanged], what src returned, or ctx's error.
func Upload(ctx context.Context, cfg UploadConfig, src io.ReaderAt, size uint64) (UploadResult, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return UploadResult{}, err
	}
	if size <= chk.LiteralMax {
		return literal(src, int(size))
	}
	u, err := prepare(ctx, cfg, src, size)
	if err != nil {
		return UploadResult{}, err
	}
	at, err := u.place(ctx)
	if err != nil {
		return UploadResult{}, err
	}
	return u.run(ctx, at)
}

func literal(src io.ReaderAt, size int) (UploadResult, error) {
	data := make([]byte, size)
	if n, err := src.ReadAt(data, 0); n < size {
		return UploadResult{}, fmt.Errorf("reading the plaintext: %w", err)
	}
	lit, err := caps.NewLiteral(data)
	if err != nil {
		return UploadResult{}, err
	}
	return UploadResult{Cap: lit}, nil
}

// upload is one call of Upload for a file that has shares.
type upload struct {
	cfg     UploadConfig
	src     io.ReaderAt // of whole segments
	sealed  bool        // src is ciphertext
	size    uint64
	encoder *chk.Encoder
	code    *fec.Code
	stream  chk.Stream
	placer  *placer

	cancel  context.CancelCauseFunc
	window  chan struct{} // a token for each segment in flight
	replays chan struct{} // a token for the one segment that is encoded again
	scratch []byte        // whose the token is

	tell sync.Mutex // one Progress at a time
	sent uint64     // bytes of plaintext whose blocks are all sent; guarded by tell

	writers []*shareWriter
	encoded chan struct{} // closed when result is set
	result  *chk.Encoded
	commit  chan struct{} // closed when all shares are to be committed
}

// prepare computes the key and what follows from it.
func prepare(ctx context.Context, cfg UploadConfig, src io.ReaderAt, size uint64) (*upload, error) {
	g, err := chk.NewGeometry(size, cfg.K, cfg.N, cfg.MaxSegment)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	u := newUpload(cfg, size)
	key, err := u.key(ctx, g, src)
	if err != nil {
		return nil, err
	}
	if u.code, err = fec.New(g.K, g.N); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if u.encoder, err = chk.NewEncoder(chk.EncoderConfig{Key: key, Geometry: g, Code: u.code}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	u.stream = chk.NewStream(key)
	u.placer = newPlacer(cfg, key.StorageIndex(), u.encoder.ShareLen())
	u.window = tokens(cfg, g)
	return u, nil
}

func newUpload(cfg UploadConfig, size uint64) *upload {
	return &upload{
		cfg: cfg, size: size,
		replays: make(chan struct{}, 1), encoded: make(chan struct{}), commit: make(chan struct{}),
	}
}

// tokens is the window for segments of which cfg allows so many in memory.
func tokens(cfg UploadConfig, g chk.Geometry) chan struct{} {
	perSegment := int64(g.BlockLen(0)) * int64(g.N)
	return make(chan struct{}, min(max(cfg.Memory/perSegment, 1), int64(2*runtime.GOMAXPROCS(0)+2)))
}

// key derives the convergent key, or draws one.
func (u *upload) key(ctx context.Context, g chk.Geometry, src io.ReaderAt) (caps.ReadKey, error) {
	w := newWitness(src, g)
	u.src = w
	if u.cfg.Secret == nil {
		var b [16]byte
		if _, err := rand.Read(b[:]); err != nil {
			return caps.ReadKey{}, fmt.Errorf("drawing a key: %w", err)
		}
		return caps.NewReadKey(b), nil
	}
	first := &firstPass{ctx: ctx, u: u, r: io.TeeReader(io.NewSectionReader(src, 0, int64(g.Size)), w)}
	key, err := chk.ConvergenceKey(u.cfg.Secret, g, first)
	if err != nil {
		return caps.ReadKey{}, fmt.Errorf("computing the key: %w", err)
	}
	return key, nil
}

// firstPass reads the plaintext for the key, reports progress and heeds ctx.
type firstPass struct {
	ctx  context.Context
	u    *upload
	r    io.Reader
	done uint64
}

func (p *firstPass) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	p.done += uint64(n)
	p.u.progress(PhaseKey, p.done)
	return n, err
}

func (u *upload) progress(phase Phase, done uint64) {
	if u.cfg.Progress != nil {
		u.cfg.Progress(Event{Phase: phase, Done: done, Total: u.size})
	}
}

// sentSegment counts a segment whose blocks are all sent.
func (u *upload) sentSegment(seg int) {
	u.tell.Lock()
	defer u.tell.Unlock()
	u.sent += uint64(u.encoder.Geometry().SegmentLen(seg))
	u.progress(PhaseEncode, u.sent)
}

// place finds servers. If too few take shares while some are taking the same
// ones from somebody else, it stands back, for a random time so that two who
// meet do not meet again, and tries again: the shares may be there by then.
func (u *upload) place(ctx context.Context) ([]int, error) {
	u.progress(PhasePlace, 0)
	until := u.cfg.Now().Add(u.cfg.BusyTimeout)
	for wait := busyFirst; ; wait = min(2*wait, busyMost) {
		at, err := u.placer.place(ctx)
		if err == nil || !errors.Is(err, ErrUnhappy) || !u.placer.busy() || u.cfg.Now().Add(wait).After(until) {
			return at, err
		}
		timer := time.NewTimer(wait/2 + mrand.N(wait/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
		u.placer = newPlacer(u.cfg, u.placer.si, u.placer.size)
	}
}

// run encodes the file, sends it to the places chosen, and commits it.
func (u *upload) run(ctx context.Context, at []int) (UploadResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u.cancel = cancel
	for share, i := range at {
		if i >= 0 && u.placer.targets[i].open[share] {
			u.writers = append(u.writers, &shareWriter{
				u: u, share: share, target: u.placer.targets[i],
				queue: make(chan *slot, cap(u.window)), written: make(chan struct{}),
			})
		}
	}
	u.progress(PhaseEncode, 0)
	var writing, leasing sync.WaitGroup
	leasing.Go(func() { u.placer.lease(ctx) })
	for _, w := range u.writers {
		writing.Go(func() { w.run(ctx) })
	}
	u.encode(ctx)
	for _, w := range u.writers {
		<-w.written
	}
	if ctx.Err() == nil {
		u.progress(PhaseCommit, 0)
		close(u.commit) // nothing is committed unless everything can be
	}
	writing.Wait()
	leasing.Wait()
	u.placer.abort(ctx)
	u.placer.wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return UploadResult{}, err
	}
	return u.outcome(), nil
}

// encode puts every segment before all writers, and then the trailers.
func (u *upload) encode(ctx context.Context) {
	work := make(chan *slot)
	var encoding sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), cap(u.window)) {
		encoding.Go(func() {
			for s := range work {
				u.encodeSlot(ctx, s)
			}
		})
	}
feed:
	for seg := range u.encoder.Geometry().Segments {
		select {
		case u.window <- struct{}{}:
		case <-ctx.Done():
			break feed
		}
		s := newSlot(u, seg)
		for _, w := range u.writers {
			w.queue <- s // has room for as many as the window
		}
		work <- s
	}
	close(work)
	encoding.Wait()
	if ctx.Err() == nil {
		var err error
		if u.result, err = u.encoder.Finish(); err != nil {
			u.cancel(err)
		} else {
			close(u.encoded)
		}
	}
	for _, w := range u.writers {
		close(w.queue)
	}
}

func (u *upload) encodeSlot(ctx context.Context, s *slot) {
	defer s.release()
	defer close(s.ready)
	if ctx.Err() != nil {
		return
	}
	blocks, err := u.encoder.EncodeFrom(s.seg, u.src)
	if err != nil {
		u.cancel(err)
		return
	}
	s.blocks = blocks
}

// hopeful fails the upload if what is still on its way cannot make it happy.
func (u *upload) hopeful() {
	p := u.placer
	p.mu.Lock()
	holds := make([][]int, 0, len(p.targets))
	for _, t := range p.targets {
		var shares []int
		for share := range p.cfg.N {
			if !t.dead && (t.have[share] || t.open[share]) {
				shares = append(shares, share)
			}
		}
		holds = append(holds, shares)
	}
	p.mu.Unlock()
	if reached := Happiness(holds, p.cfg.N); reached < p.cfg.Happy {
		u.cancel(p.unhappy(reached))
	}
}

// outcome says where everything is, after the commits.
func (u *upload) outcome() UploadResult {
	p := u.placer
	p.mu.Lock()
	defer p.mu.Unlock()
	r := UploadResult{
		Placement: make(map[int]caps.PublicKey),
		Lost:      append([]Blame(nil), p.lost...),
	}
	fresh := make(map[int]bool)
	for _, w := range u.writers {
		if w.target != nil {
			r.Placement[w.share] = w.target.server.Key()
			fresh[w.share] = true
		}
	}
	holds := make([][]int, len(p.targets))
	for i, t := range p.targets {
		for share := range p.cfg.N {
			if !t.have[share] || t.dead {
				continue
			}
			holds[i] = append(holds[i], share)
			if _, ok := r.Placement[share]; !ok {
				r.Placement[share] = t.server.Key()
				r.Existing = append(r.Existing, share)
			}
		}
	}
	r.Happiness = Happiness(holds, p.cfg.N)
	if !u.sealed {
		r.Cap = u.result.Cap.Cap()
	}
	return r
}
