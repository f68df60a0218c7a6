package longdistance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// ciphertext is a file as a contact point has it.
type ciphertext struct {
	verify caps.CHKVerify
	ueb    *chk.UEB
	tree   *chk.CrypttextTree
	data   []byte
}

// newCiphertext makes a file of size bytes in segments of segment bytes. What is
// in it follows from seed.
func newCiphertext(t testing.TB, seed uint64, size, segment int) *ciphertext {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	plain := make([]byte, size)
	for i := range plain {
		plain[i] = byte(r.Uint32())
	}
	var key [16]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	g, err := chk.FromSegmentSize(uint64(size), 1, 1, uint64(segment))
	must(t, err)
	e, err := chk.NewEncoder(chk.EncoderConfig{Key: caps.NewReadKey(key), Geometry: g})
	must(t, err)
	for i := range g.Segments {
		at := g.SegmentOffset(i)
		b, err := e.EncodeSegment(i, plain[at:at+uint64(g.SegmentLen(i))])
		must(t, err)
		b.Release()
	}
	encoded, err := e.Finish()
	must(t, err)
	chk.Decrypt(caps.NewReadKey(key), 0, plain) // the other way is the same
	c := &ciphertext{verify: encoded.Cap.Verify(), data: plain}
	c.ueb, err = chk.ParseUEB(encoded.UEB, c.verify)
	must(t, err)
	leaves := make([]caps.Hash, g.Segments)
	for i := range leaves {
		leaves[i] = caps.CrypttextSegmentHash(c.segment(i))
	}
	c.tree = chk.NewCrypttextTree(c.ueb)
	whole := caps.NewTree(leaves)
	for i := range leaves {
		must(t, c.tree.Check(i, c.segment(i), whole.Chain(i)))
	}
	return c
}

func (c *ciphertext) segment(i int) []byte {
	g := c.geometry()
	at := g.SegmentOffset(i)
	return c.data[at : at+uint64(g.SegmentLen(i))]
}

func (c *ciphertext) geometry() chk.Geometry { return c.ueb.Geometry }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shelf is a Source of such files.
type shelf struct {
	files map[caps.CHKVerify]*ciphertext
	// before is asked before each segment is handed out; its error ends the
	// read.
	before func(ctx context.Context, seg int) error
	// edit changes what is handed out.
	edit func(s *transfer.Segment)
	// versions are of mutable files; use says which share's block of a segment
	// is handed out i-th.
	versions map[caps.MutableVerify]*changeable
	use      func(seg, i int) int

	mu     sync.Mutex
	opened int
	closed int
	handed uint64 // bytes
}

func newShelf(files ...*ciphertext) *shelf {
	s := &shelf{files: make(map[caps.CHKVerify]*ciphertext)}
	for _, f := range files {
		s.files[f.verify] = f
	}
	return s
}

func (s *shelf) Open(_ context.Context, r longdistance.Request) (longdistance.File, error) {
	f, ok := s.files[r.Cap]
	if !ok {
		return nil, fmt.Errorf("nothing on the shelf: %w", p2p.ErrNotFound)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return &shelved{s, f}, nil
}

type shelved struct {
	shelf *shelf
	*ciphertext
}

func (f *shelved) UEB() []byte            { return f.ueb.Raw }
func (f *shelved) Geometry() chk.Geometry { return f.geometry() }

func (f *shelved) Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error {
	for i := first; i < first+count; i++ {
		if f.shelf.before != nil {
			if err := f.shelf.before(ctx, i); err != nil {
				return err
			}
		}
		chain, err := f.tree.Chain(i)
		if err != nil {
			return err
		}
		seg := transfer.Segment{Index: i, Data: f.segment(i), Chain: chain}
		if f.shelf.edit != nil {
			seg.Data = append([]byte(nil), seg.Data...)
			f.shelf.edit(&seg)
		}
		f.shelf.mu.Lock()
		f.shelf.handed += uint64(len(seg.Data))
		f.shelf.mu.Unlock()
		if err := fn(seg); err != nil {
			return err
		}
	}
	return nil
}

func (f *shelved) Close() error {
	f.shelf.mu.Lock()
	defer f.shelf.mu.Unlock()
	f.shelf.closed++
	return nil
}

// clock is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// keyed makes the Ed25519 key that follows from n.
func keyed(t testing.TB, n uint64) crypto.PrivKey {
	t.Helper()
	if key, ok := keys.Load(n); ok {
		return key.(crypto.PrivKey)
	}
	r := rand.New(rand.NewPCG(n, 2))
	seed := make([]byte, 64)
	for i := range seed {
		seed[i] = byte(r.Uint32())
	}
	key, _, err := crypto.GenerateEd25519Key(&repeat{seed})
	must(t, err)
	keys.Store(n, key)
	return key
}

var keys sync.Map // of keyed

type repeat struct{ b []byte }

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.b[i%len(r.b)]
	}
	return len(p), nil
}

func public(t testing.TB, key crypto.PrivKey) caps.PublicKey {
	t.Helper()
	k, err := p2p.KeyOf(key)
	must(t, err)
	return k
}

// scratch is where voucher logs lie, set by TestMain; number tells them apart.
var (
	scratch string
	number  atomic.Uint64
)

// world is an approver, an area with its tariff, and payers and payees that
// reach each other through streams in memory.
type world struct {
	t        testing.TB
	clock    *clock
	approver crypto.PrivKey
	grid     crypto.PrivKey
	area     caps.AreaCode
	tariff   sealed.Sealed[billing.Tariff]

	inMemory bool // vouchers are not kept in files

	mu      sync.Mutex
	payees  map[caps.PublicKey]*payee
	serving sync.WaitGroup
	keys    uint64
}

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	mib        = 1 << 20
	wideWindow = 4 * mib
)

func newWorld(t testing.TB, edit ...func(*billing.Tariff)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: start}, approver: keyed(t, 1), grid: keyed(t, 2), payees: make(map[caps.PublicKey]*payee), keys: 100}
	w.area = caps.NewAreaCode(public(t, w.grid))
	tariff := billing.Tariff{
		Area: w.area, Sequence: 1, Currency: "EUR", PerGiB: 2 * billing.Unit, PerLookup: 10,
		ValidFrom: start.Add(-time.Hour).Unix(), ValidUntil: start.Add(24 * 365 * time.Hour).Unix(),
	}
	for _, e := range edit {
		e(&tariff)
	}
	var err error
	w.tariff, err = sealed.Seal(w.grid, tariff)
	must(t, err)
	return w
}

func tollFree(t *billing.Tariff) { t.TollFree, t.PerGiB, t.PerLookup = true, 0, 0 }

func (w *world) newKey() crypto.PrivKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys++
	return keyed(w.t, w.keys)
}

// payee is a payee of the world.
type payee struct {
	*longdistance.Payee
	world  *world
	key    crypto.PrivKey
	config longdistance.PayeeConfig
	log    keptVouchers
	path   string // of the log; empty: in memory

	mu      sync.Mutex
	down    bool
	up      func(n int) fault // of the n-th stream, from 0
	back    func(n int) fault
	streams []*memStream // the payee's ends
	lie     func(i int, f frame) []frame
	record  bool // keep what streams carry
}

// frame is a message of a payee with its data.
type frame struct {
	m    *pb.FromPayee
	data []byte
}

// relay passes frames from a payee on to a payer as lie has them, and what the
// payer sends back as it is.
func relay(serving *sync.WaitGroup, payee, payer *memStream, lie func(i int, f frame) []frame) {
	serving.Go(func() {
		defer payer.Reset()
		for i := 0; ; i++ {
			m := new(pb.FromPayee)
			if payee.Receive(m, 1<<20) != nil {
				return
			}
			f := frame{m: m}
			if s := m.GetSegment(); s != nil {
				f.data = make([]byte, s.GetLength())
			} else if m.GetBlocks() != nil {
				f.data = make([]byte, m.GetBlocks().GetLength()+m.GetBlocks().GetProof())
			}
			if payee.ReadData(f.data) != nil {
				return
			}
			for _, f := range lie(i, f) {
				if payer.SendData(f.m, f.data) != nil {
					return
				}
			}
		}
	})
	serving.Go(func() {
		defer payee.Reset()
		for {
			m := new(pb.FromPayer)
			if payer.Receive(m, 1<<20) != nil || payee.Send(m) != nil {
				return
			}
		}
	})
}

// keptVouchers is what the tests need of a voucher log.
type keptVouchers interface {
	longdistance.Vouchers
	All() []longdistance.Owed
	Close() error
}

// memVouchers keeps vouchers in memory: files are slow, and some tests make tens
// of thousands of payees.
type memVouchers struct {
	mu     sync.Mutex
	latest map[billing.ChannelID]longdistance.Owed
}

func (m *memVouchers) Append(o longdistance.Owed) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest[o.Channel()] = o
	return nil
}

func (m *memVouchers) Latest(channel billing.ChannelID) (longdistance.Owed, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.latest[channel]
	return o, ok
}

func (m *memVouchers) OnBooked(func(longdistance.Owed, billing.Mark)) {}

func (m *memVouchers) All() []longdistance.Owed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.latest))
}

func (m *memVouchers) Close() error { return nil }

// addPayee starts a payee that serves from source.
func (w *world) addPayee(source longdistance.Source, edit ...func(*longdistance.PayeeConfig)) *payee {
	w.t.Helper()
	y := &payee{
		world: w, key: w.newKey(),
		up: func(int) fault { return noFault }, back: func(int) fault { return noFault },
	}
	approver := public(w.t, w.approver)
	y.config = longdistance.PayeeConfig{
		Key: public(w.t, y.key), Area: w.area, Source: source,
		Tariff: func() (sealed.Sealed[billing.Tariff], error) { return w.tariff, nil },
		Approver: func(k caps.PublicKey, _ uint64) error {
			if k != approver {
				return errors.New("a stranger")
			}
			return nil
		},
		Now: w.clock.Now,
	}
	for _, e := range edit {
		e(&y.config)
	}
	if !w.inMemory {
		y.path = filepath.Join(scratch, fmt.Sprintf("vouchers-%d", number.Add(1)))
	}
	y.start()
	w.mu.Lock()
	w.payees[y.config.Key] = y
	w.mu.Unlock()
	w.t.Cleanup(func() {
		y.crash()
		w.serving.Wait()
		if y.path != "" {
			_ = os.Remove(y.path)
		}
	})
	return y
}

// start opens the voucher log and begins to serve.
func (y *payee) start() {
	y.world.t.Helper()
	var log keptVouchers = &memVouchers{latest: make(map[billing.ChannelID]longdistance.Owed)}
	if y.path != "" {
		var err error
		log, err = longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: y.path, NoSync: true, Now: y.world.clock.Now})
		must(y.world.t, err)
	}
	if y.config.Approver != nil {
		y.config.Vouchers = log
	}
	p, err := longdistance.NewPayee(y.config)
	must(y.world.t, err)
	y.mu.Lock()
	defer y.mu.Unlock()
	y.log, y.Payee, y.down = log, p, false
}

// restart serves with another configuration.
func (y *payee) restart(edit func(*longdistance.PayeeConfig)) {
	y.world.t.Helper()
	edit(&y.config)
	p, err := longdistance.NewPayee(y.config)
	must(y.world.t, err)
	y.mu.Lock()
	defer y.mu.Unlock()
	y.Payee = p
}

// crash resets every stream and closes the log.
func (y *payee) crash() {
	y.mu.Lock()
	y.down = true
	streams := y.streams
	y.streams = nil
	log := y.log
	y.mu.Unlock()
	for _, s := range streams {
		s.Reset()
	}
	_ = log.Close()
}

func (y *payee) offer() longdistance.Offer {
	return longdistance.Offer{
		Peer: p2p.Peer{Key: y.config.Key}, Area: y.world.area, Tariff: y.world.tariff, Signer: y.world.area.Key(),
	}
}

// stream opens a stream to y and serves it.
func (y *payee) stream(from caps.PublicKey) (*memStream, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.down {
		return nil, p2p.ErrUnreachable
	}
	n := len(y.streams)
	atPayer, atPayee := newPipe(from, y.config.Key, y.up(n), y.back(n))
	atPayee.in.record, atPayee.out.record = y.record, y.record
	y.streams = append(y.streams, atPayee)
	p := y.Payee
	if y.lie != nil {
		near, relayed := newPipe(from, y.config.Key, noFault, noFault)
		for _, s := range []*memStream{atPayer, relayed} {
			s.SetStepTimeout(time.Hour)
		}
		relay(&y.world.serving, atPayer, relayed, y.lie)
		atPayer = near
	}
	y.world.serving.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if err := p.Serve(ctx, atPayee); err != nil {
			atPayee.Reset()
			return
		}
		_ = atPayee.Close()
	})
	return atPayer, nil
}

// vouched is the sum of the cumulative bytes of all channels.
func (y *payee) vouched() (bytes, lookups uint64) {
	for _, o := range y.log.All() {
		bytes += o.Voucher.Value.Bytes
		lookups += o.Voucher.Value.Lookups
	}
	return bytes, lookups
}

func (w *world) dial(from caps.PublicKey) func(context.Context, p2p.Peer) (longdistance.Stream, error) {
	return func(_ context.Context, to p2p.Peer) (longdistance.Stream, error) {
		w.mu.Lock()
		y, ok := w.payees[to.Key]
		w.mu.Unlock()
		if !ok {
			return nil, p2p.ErrUnreachable
		}
		s, err := y.stream(from)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// approvals is an approver that grants at once. It is longdistance.Approvals.
type approvals struct {
	world   *world
	payer   caps.PublicKey
	account caps.PublicKey

	mu      sync.Mutex
	cap     uint64 // of each grant
	most    uint64 // no cap is raised beyond; 0: no limit
	window  int64
	life    time.Duration
	grace   time.Duration
	graceBy uint64
	epoch   uint64
	granted map[billing.ChannelID]sealed.Sealed[billing.Approval]
	used    map[billing.ChannelID]uint64
	asked   int
	refuse  error
}

func (w *world) approvals(payer caps.PublicKey) *approvals {
	return &approvals{
		world: w, payer: payer, account: payer, cap: 1 << 40, window: wideWindow, life: time.Hour, grace: 2 * time.Hour, graceBy: 0,
		granted: make(map[billing.ChannelID]sealed.Sealed[billing.Approval]), used: make(map[billing.ChannelID]uint64),
	}
}

func (a *approvals) Get(_ context.Context, need account.Need) (sealed.Sealed[billing.Approval], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	approver := public(a.world.t, a.world.approver)
	channel := billing.NewChannelID(approver, a.payer, need.Payee, billing.HashTariff(need.Tariff), 1)
	now := a.world.clock.Now()
	if have, ok := a.granted[channel]; ok && have.Value.CapBytes >= a.used[channel]+need.Bytes && now.Unix() <= have.Value.NotAfter {
		return have, nil
	}
	a.asked++
	if a.refuse != nil {
		return sealed.Sealed[billing.Approval]{}, a.refuse
	}
	limit := a.cap
	if old, ok := a.granted[channel]; ok {
		limit += old.Value.CapBytes
	}
	if a.most > 0 {
		limit = min(limit, a.most)
	}
	granted, err := sealed.Seal(a.world.approver, billing.Approval{
		Channel: channel, Approver: approver, Payer: a.payer, Payee: need.Payee, PayerAccount: a.account, PayeeAccount: a.world.area.Key(),
		Tariff: billing.HashTariff(need.Tariff), Period: 1, CapBytes: limit, CapCredits: 1 << 50,
		IssuedAt: now.Unix(), NotAfter: now.Add(a.life).Unix(), GraceUntil: now.Add(a.life + a.grace).Unix(), GraceBytes: a.graceBy, GraceCredits: 1 << 40,
		Window: a.window, Epoch: a.epoch,
	})
	if err != nil {
		return granted, err
	}
	a.granted[channel] = granted
	return granted, nil
}

func (a *approvals) Latest(channel billing.ChannelID) (sealed.Sealed[billing.Approval], bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.granted[channel]
	return s, ok
}

func (a *approvals) Used(channel billing.ChannelID, total uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used[channel] = max(a.used[channel], total)
}

func (a *approvals) Forget(channel billing.ChannelID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.granted, channel)
}

// payer is a payer of the world.
type payer struct {
	*longdistance.Payer
	key       crypto.PrivKey
	approvals *approvals
	mu        sync.Mutex
	switched  []longdistance.Attempt
	dead      bool
}

// die cuts all of p's streams to y, and lets it dial no more.
func (p *payer) die(y *payee) {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, s := range y.streams {
		s.Reset()
	}
	y.streams = nil
}

// addPayer makes a payer, with a key of its own unless one is given.
func (w *world) addPayer(key crypto.PrivKey, edit ...func(*longdistance.PayerConfig, *approvals)) *payer {
	w.t.Helper()
	if key == nil {
		key = w.newKey()
	}
	self := public(w.t, key)
	p := &payer{key: key, approvals: w.approvals(self)}
	dial := w.dial(self)
	c := longdistance.PayerConfig{
		Key: key, Dial: func(ctx context.Context, to p2p.Peer) (longdistance.Stream, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.dead {
				return nil, p2p.ErrUnreachable
			}
			return dial(ctx, to)
		}, Approvals: p.approvals, Now: w.clock.Now,
		Switched: func(a longdistance.Attempt) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.switched = append(p.switched, a)
		},
	}
	for _, e := range edit {
		e(&c, p.approvals)
	}
	var err error
	p.Payer, err = longdistance.NewPayer(c)
	must(w.t, err)
	w.t.Cleanup(func() { _ = p.Close() })
	return p
}

// request asks for a whole file.
func request(c *ciphertext) longdistance.Request {
	return longdistance.Request{Areas: nil, Cap: c.verify, Length: c.verify.Size}
}

// fetch opens and reads a request to its end, and returns the segments' bytes.
func (p *payer) fetch(ctx context.Context, r longdistance.Request, offers ...longdistance.Offer) ([]byte, error) {
	f, err := p.Open(ctx, longdistance.NewRoute(offers...), r)
	if err != nil {
		return nil, err
	}
	first, count := f.Geometry().Cover(r.Offset, r.Length)
	var got []byte
	err = f.Read(ctx, first, count, func(s transfer.Segment) error {
		got = append(got, s.Data...)
		return nil
	})
	return got, errors.Join(err, f.Close())
}

// level is one of the two levels: what is tested is the same.
type level struct {
	name string
	// payee makes the payee under test, serving files.
	payee func(w *world, files *shelf, edit ...func(*longdistance.PayeeConfig)) *payee
}

// levels are gateway to contact point, where the payee has the files, and
// client to gateway, where the payee is itself a payer.
var levels = []level{
	{"gateway_to_contact", func(w *world, files *shelf, edit ...func(*longdistance.PayeeConfig)) *payee {
		return w.addPayee(files, edit...)
	}},
	{"client_to_gateway", func(w *world, files *shelf, edit ...func(*longdistance.PayeeConfig)) *payee {
		far := newWorld(w.t)
		far.inMemory = w.inMemory
		contact := far.addPayee(files)
		onward := far.addPayer(nil)
		y := w.addPayee(&onwardSource{onward, contact.offer()}, edit...)
		// The gateway's streams end before its payer.
		w.t.Cleanup(func() {
			y.crash()
			w.serving.Wait()
		})
		return y
	}},
}

// onwardSource is a gateway without a policy.
type onwardSource struct {
	payer *payer
	offer longdistance.Offer
}

func (s *onwardSource) Open(ctx context.Context, r longdistance.Request) (longdistance.File, error) {
	f, err := s.payer.Open(ctx, longdistance.NewRoute(s.offer), r)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// atLevels runs a test at both levels.
func atLevels(t *testing.T, test func(t *testing.T, l level)) {
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}
