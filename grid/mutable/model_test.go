package mutable_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// The model: several writers add names to one file, each over links of its own that delay, lose requests, lose answers, hang and
// are cut, and some are killed in the middle. Time is virtual. Whatever happens, a name whose writer was told that it is in is
// in: for every reader that starts afterwards, and at the end.

// world is one run of the model.
type world struct {
	seed    uint64
	servers []*gridtest.Server
	cap     caps.Cap
	blind   bool // links leave the tests out of test-and-writes: the model must notice

	mu    sync.Mutex
	rng   *rand.Rand
	acked map[string]bool
	sent  map[string]bool
	log   []string
	late  sync.WaitGroup // deliveries that outlive their callers
}

func (w *world) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Float64() < p
}

func (w *world) upTo(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(d)))
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// link is one client's way to one server.
type link struct {
	*gridtest.Server
	w    *world
	mu   sync.Mutex
	cut  bool
	hang bool
	lose float64 // chance that a request, and that an answer, is lost
	slow time.Duration
}

var errLink = errors.New("connection lost")

// pass is one call: do runs on the server, at once or later, even if the caller has gone.
func pass[T any](ctx context.Context, l *link, do func(context.Context) (T, error)) (T, error) {
	var none T
	l.mu.Lock()
	cut, hang, lose, slow := l.cut, l.hang, l.lose, l.slow
	l.mu.Unlock()
	if cut {
		return none, errLink
	}
	if hang || l.w.chance(lose) {
		<-ctx.Done()
		return none, ctx.Err()
	}
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	there, back := l.w.upTo(slow), l.w.upTo(slow)
	l.w.late.Go(func() {
		time.Sleep(there)
		value, err := do(context.Background())
		time.Sleep(back)
		done <- answer{value, err}
	})
	if l.w.chance(lose) {
		if l.w.chance(0.5) {
			time.Sleep(there + back)
			return none, errLink
		}
		<-ctx.Done()
		return none, ctx.Err()
	}
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (l *link) ReadSlot(ctx context.Context, si caps.StorageIndex, nums []int, ranges []storage.Range) (map[int][][]byte, error) {
	return pass(ctx, l, func(ctx context.Context) (map[int][][]byte, error) {
		return l.Server.ReadSlot(ctx, si, nums, ranges)
	})
}

func (l *link) TestWrite(ctx context.Context, si caps.StorageIndex, t storage.TestWrite) (storage.TestWriteResult, error) {
	// What is on its way is not the caller's memory any more.
	mine := t
	mine.Shares = append([]storage.ShareChange(nil), t.Shares...)
	for i := range mine.Shares {
		c := &mine.Shares[i]
		c.Writes = append([]storage.Change(nil), c.Writes...)
		for j := range c.Writes {
			c.Writes[j].Data = append([]byte(nil), c.Writes[j].Data...)
		}
		if l.w.blind {
			c.Tests = nil
		}
	}
	return pass(ctx, l, func(ctx context.Context) (storage.TestWriteResult, error) {
		return l.Server.TestWrite(ctx, si, mine)
	})
}

// client is a writer or reader with links of its own.
type client struct {
	files *mutable.Files
	links []*link
}

func (w *world) client(tb testing.TB, k int, lose float64, slow time.Duration) *client {
	c := &client{}
	all := make([]transfer.Server, len(w.servers))
	for i, s := range w.servers {
		l := &link{Server: s, w: w, lose: lose, slow: slow}
		c.links, all[i] = append(c.links, l), l
	}
	files, err := mutable.New(mutable.Config{
		Servers: func() []transfer.Server { return all }, LeaseSecret: [32]byte{1}, Timeout: 5 * time.Second,
		K: max(k, 3), N: 10, Happy: 7,
	})
	if err != nil {
		tb.Fatal(err)
	}
	c.files = files
	return c
}

// disturb changes a client's links now and then: at most three of ten are cut or hang.
func (w *world) disturb(c *client) {
	for _, l := range c.links {
		l.mu.Lock()
		l.cut, l.hang = false, false
		l.mu.Unlock()
	}
	for range 3 {
		if !w.chance(0.4) {
			continue
		}
		l := c.links[int(w.upTo(time.Duration(len(c.links))))]
		l.mu.Lock()
		if w.chance(0.5) {
			l.cut = true
		} else {
			l.hang = true
		}
		l.mu.Unlock()
	}
}

// add has a client add one name.
func (w *world) add(ctx context.Context, c *client, name string) error {
	w.mu.Lock()
	w.sent[name] = true
	w.mu.Unlock()
	r, err := c.files.Modify(ctx, w.cap, func(old []byte) ([]byte, error) {
		for _, line := range strings.Fields(string(old)) {
			if line == name {
				return old, nil
			}
		}
		return append(old, name+"\n"...), nil
	})
	if err == nil {
		w.mu.Lock()
		w.acked[name] = true
		w.mu.Unlock()
	}
	w.say("%v add %s: version %d, %v", time.Now().Format("05.000"), name, r.Header.Seq, err)
	return err
}

// look reads the file and says which acknowledged names are not there.
func (w *world) look(ctx context.Context, c *client) (missing []string, err error) {
	w.mu.Lock()
	want := make([]string, 0, len(w.acked))
	for name := range w.acked {
		want = append(want, name)
	}
	w.mu.Unlock()
	sort.Strings(want)
	data, h, err := c.files.ReadAll(ctx, w.cap, 1<<20)
	if err != nil {
		return nil, err
	}
	have := make(map[string]bool)
	for _, name := range strings.Fields(string(data)) {
		if have[name] {
			return nil, fmt.Errorf("version %d has %s twice", h.Seq, name)
		}
		have[name] = true
		w.mu.Lock()
		known := w.sent[name]
		w.mu.Unlock()
		if !known {
			return nil, fmt.Errorf("version %d has a name %q that nobody added", h.Seq, name)
		}
	}
	for _, name := range want {
		if !have[name] {
			missing = append(missing, fmt.Sprintf("%s (read version %d)", name, h.Seq))
		}
	}
	return missing, nil
}

type scenario struct {
	writers, names int
	lose           float64
	slow           time.Duration
	crash          float64 // chance that an addition is killed in the middle
	disturb        bool
	blind          bool
	k              int  // 0: 3
	between        bool // readers may miss names while writers are at work, but not at the end
}

// run plays a scenario and returns what went wrong.
func run(t *testing.T, seed uint64, sc scenario) (wrong []string) {
	w := &world{
		seed: seed, servers: gridtest.New(10), rng: rand.New(rand.NewPCG(seed, 0)), blind: sc.blind,
		acked: make(map[string]bool), sent: make(map[string]bool),
	}
	ctx := context.Background()
	healthy := w.client(t, sc.k, 0, 10*time.Millisecond)
	r, err := healthy.files.Create(ctx, ssk.SDMF, testKeys()[0], strings.NewReader(""), 0)
	if err != nil {
		t.Fatal(err)
	}
	w.cap = r.Cap
	var wg sync.WaitGroup
	for i := range sc.writers {
		c := w.client(t, sc.k, sc.lose, sc.slow)
		wg.Go(func() {
			for j := range sc.names {
				if sc.disturb {
					w.disturb(c)
				}
				ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
				if w.chance(sc.crash) {
					kill := time.AfterFunc(w.upTo(4*sc.slow+20*time.Millisecond), cancel)
					defer kill.Stop()
				}
				_ = w.add(ctx, c, fmt.Sprintf("w%d-%d", i, j))
				cancel()
				time.Sleep(w.upTo(20 * time.Millisecond))
			}
		})
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			missing, err := w.look(ctx, healthy)
			if err != nil && !errors.Is(err, transfer.ErrNotEnoughShares) {
				missing = append(missing, err.Error())
			}
			if len(missing) > 0 && !sc.between {
				w.mu.Lock()
				wrong = append(wrong, fmt.Sprintf("a reader misses %v", missing))
				w.mu.Unlock()
			}
		}
	})
	wg.Wait()
	close(stop)
	readers.Wait()
	w.late.Wait()
	missing, err := w.look(ctx, healthy)
	if err != nil {
		wrong = append(wrong, fmt.Sprintf("at the end: %v", err))
	}
	if len(missing) > 0 {
		wrong = append(wrong, fmt.Sprintf("at the end %v are missing", missing))
	}
	if err := w.add(ctx, healthy, "last"); err != nil {
		wrong = append(wrong, fmt.Sprintf("nobody can write any more: %v", err))
	}
	if missing, err = w.look(ctx, healthy); err != nil || len(missing) > 0 {
		wrong = append(wrong, fmt.Sprintf("after another name: %v, %v are missing", err, missing))
	}
	w.late.Wait()
	if sc.crash == 0 && !sc.disturb && sc.lose == 0 && len(w.acked) != sc.writers*sc.names+1 {
		wrong = append(wrong, fmt.Sprintf("%d names of %d were acknowledged", len(w.acked), sc.writers*sc.names+1))
	}
	if len(wrong) > 0 {
		wrong = append(wrong, w.log...)
	}
	return wrong
}

func TestModel(t *testing.T) {
	t.Parallel()
	testKeys()
	scenarios := map[string]scenario{
		"calm":       {writers: 1, names: 5, slow: 5 * time.Millisecond},
		"two":        {writers: 2, names: 10, slow: 5 * time.Millisecond},
		"five":       {writers: 5, names: 4, slow: 30 * time.Millisecond},
		"lossy":      {writers: 3, names: 5, lose: 0.02, slow: 20 * time.Millisecond},
		"crashes":    {writers: 4, names: 5, crash: 0.5, slow: 30 * time.Millisecond},
		"partitions": {writers: 3, names: 5, disturb: true, slow: 20 * time.Millisecond},
		// With k above n-happy a version that was beaten can never be read: then readers miss nothing either.
		"everything":   {writers: 5, names: 4, lose: 0.02, crash: 0.3, disturb: true, slow: 50 * time.Millisecond, k: 4},
		"everything-3": {writers: 5, names: 4, lose: 0.02, crash: 0.3, disturb: true, slow: 50 * time.Millisecond, between: true},
		"slow-crash":   {writers: 3, names: 5, crash: 0.5, slow: 400 * time.Millisecond},
	}
	seeds := uint64(modelSeeds)
	for name, sc := range scenarios {
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s-%d", name, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					if wrong := run(t, seed, sc); len(wrong) > 0 {
						t.Error(strings.Join(wrong, "\n"))
					}
				})
			})
		}
	}
}

const modelSeeds = 6

// Without the tests of test-and-write, changes are lost, and the model says so.
func TestModelNotices(t *testing.T) {
	t.Parallel()
	testKeys()
	for seed := range uint64(20) {
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			wrong = run(t, seed, scenario{writers: 3, names: 5, slow: 30 * time.Millisecond, blind: true})
		})
		if len(wrong) > 0 {
			return
		}
	}
	t.Error("twenty runs without tests lost nothing: the model cannot fail")
}
