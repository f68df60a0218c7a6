package mutable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
)

// errConflict means that a server holds something else than was seen there.
var errConflict = errors.New("a server has another version by now")

// outcome is what is known of one server's test-and-write.
type outcome uint8

const (
	unsent  outcome = iota
	applied         // it holds the new version
	beaten          // it holds something else than was seen
	refused         // it did nothing, and said why
	unknown         // it may have done it or not
)

// target is a server that is to hold shares of the new version.
type target struct {
	peer    *peer
	tests   map[int][]byte // by share number: how the share begins that is there; empty: there is none
	base    []int          // those that are of the version that the new one is made from
	outcome outcome
	err     error
}

func (t *target) nums() []int {
	nums := make([]int, 0, len(t.tests))
	for num := range t.tests {
		nums = append(nums, num)
	}
	slices.Sort(nums)
	return nums
}

// publication is one attempt to put a version on the servers.
type publication struct {
	f       *Files
	v       caps.MutableVerify
	write   caps.WriteKey
	e       *encoding
	header  ssk.Header
	targets []*target // permuted order
	spare   []*target // servers that hold nothing and may be given shares, permuted order
	wary    bool      // there are remains of a newer version, whose writer may be alive after all
	fixed   bool      // only shares of the old version can be changed, none made
	started time.Time
	lost    []transfer.Blame
}

// happiness is that of the targets that ok accepts.
func (p *publication) happiness(ok func(*target) bool) int {
	var holds [][]int
	for _, t := range p.targets {
		if ok(t) {
			holds = append(holds, t.nums())
		}
	}
	return transfer.Happiness(holds, p.header.N)
}

func (t *target) holds() bool { return t.outcome == applied }

// hopeful says that the target holds the version or may do so in the end.
func (t *target) hopeful() bool { return t.outcome == unsent || t.outcome == applied }

// spread gives shares that no target has to servers that may be given some, those with fewest first; and if that is not enough
// for happy servers to have one each, further copies. Without all only as much as happiness needs.
func (p *publication) spread(happy int, all bool) {
	if p.fixed {
		return
	}
	have := make(map[int]bool)
	for _, t := range p.targets {
		for num := range t.tests {
			have[num] = have[num] || t.hopeful()
		}
	}
	var missing []int
	for num := range p.header.N {
		if !have[num] {
			missing = append(missing, num)
		}
	}
	fresh := len(p.targets) == 0
	for len(missing) > 0 && len(p.spare) > 0 && (all || fresh || p.happiness((*target).hopeful) < happy) {
		p.give(p.spare[0], missing[0])
		missing = missing[1:]
	}
	for len(missing) > 0 && (all || fresh) {
		// Every server has one: those with fewest get another.
		least := p.least()
		if least == nil {
			break
		}
		least.tests[missing[0]] = nil
		missing = missing[1:]
	}
	for len(p.spare) > 0 && p.happiness((*target).hopeful) < happy {
		num, ok := p.doubled()
		if !ok {
			break
		}
		p.give(p.spare[0], num)
	}
}

// give makes a spare server a target.
func (p *publication) give(t *target, num int) {
	t.tests[num] = nil
	p.spare = slices.DeleteFunc(p.spare, func(o *target) bool { return o == t })
	p.targets = append(p.targets, t)
	slices.SortFunc(p.targets, func(a, b *target) int { return cmp.Compare(a.peer.rank, b.peer.rank) })
}

// least is the target that was not sent anything yet and has the fewest shares.
func (p *publication) least() *target {
	var least *target
	for _, t := range p.targets {
		if t.outcome == unsent && (least == nil || len(t.tests) < len(least.tests)) {
			least = t
		}
	}
	return least
}

// doubled is a share that another server should have as well: the one that a hopeful target with several shares can spare, or
// that only failed servers were to have.
func (p *publication) doubled() (num int, ok bool) {
	copies := make(map[int]int)
	for _, t := range p.targets {
		if t.hopeful() {
			for num := range t.tests {
				copies[num]++
			}
		}
	}
	for num := range p.header.N {
		if copies[num] == 0 {
			return num, true
		}
	}
	most := 1
	for _, t := range p.targets {
		if !t.hopeful() || len(t.tests) <= most {
			continue
		}
		for _, n := range t.nums() {
			if copies[n] == 1 {
				num, ok, most = n, true, len(t.tests)
			}
		}
	}
	return num, ok
}

// send puts the version on the targets. It begins with one, the first that the others turn to as well: who is beaten there has
// destroyed nothing. Until enough shares are left whatever happens it goes on carefully, so that when this is cut off the old
// version or the new one can be read.
//
// The result is nil if nobody interfered, and errConflict otherwise.
func (p *publication) send(ctx context.Context, happy int) error {
	p.started = p.f.cfg.Now()
	if err := p.gate(ctx, happy); err != nil {
		return err
	}
	if err := p.careful(ctx); err != nil {
		return err
	}
	for {
		if err := p.round(ctx, happy, func(*target) bool { return true }); err != nil {
			return err
		}
		if p.happiness((*target).holds) >= happy || len(p.spare) == 0 {
			return nil
		}
		before := len(p.spare)
		p.spread(happy, false)
		if len(p.spare) == before {
			return nil
		}
	}
}

// gate sends to one target after the other until one has it. Where it is wary it goes on until the writer of the remains cannot
// reach enough servers any more: should that one be alive, the first server that it has reached shows it. Servers that the old
// version cannot spare are passed over as long as there are others.
func (p *publication) gate(ctx context.Context, happy int) error {
	if len(p.targets) < 2 {
		return nil
	}
	wanted := 1
	if p.wary {
		wanted = max(1, len(p.targets)-happy+1)
	}
	for wanted > 0 {
		t, safe := p.door()
		if t == nil {
			return nil
		}
		if !safe && p.pending((*target).fresh) {
			// What has nothing to lose may make it safe.
			if err := p.round(ctx, hurried, (*target).fresh); err != nil {
				return err
			}
			continue
		}
		if err := p.batch(ctx, hurried, []*target{t}); err != nil {
			return err
		}
		if t.outcome == applied {
			wanted--
		}
	}
	return nil
}

// door is the first target that holds something of the file, was not sent anything yet, and can be spared by the old version; the
// first of all, where none can be. nil: there is none.
func (p *publication) door() (t *target, safe bool) {
	for _, next := range p.targets {
		switch {
		case next.outcome != unsent || len(next.tests) == 0 || next.fresh():
		case p.spares(next):
			return next, true
		case t == nil:
			t = next
		}
	}
	return t, false
}

// pending reports whether any target that selects accepts was not sent anything yet.
func (p *publication) pending(selects func(*target) bool) bool {
	return slices.ContainsFunc(p.targets, func(t *target) bool { return t.outcome == unsent && selects(t) })
}

// fresh says that there is nothing of the file on the target.
func (t *target) fresh() bool {
	for _, test := range t.tests {
		if len(test) > 0 {
			return false
		}
	}
	return true
}

// round sends to all targets that were not sent anything yet and which selects accepts, as many at a time as memory allows.
func (p *publication) round(ctx context.Context, happy int, selects func(*target) bool) error {
	var todo []*target
	for _, t := range p.targets {
		if t.outcome == unsent && selects(t) {
			todo = append(todo, t)
		}
	}
	for len(todo) > 0 {
		nums := make(map[int]bool)
		n := 0
		for ; n < len(todo); n++ {
			for num := range todo[n].tests {
				nums[num] = true
			}
			if n > 0 && len(nums) > p.e.fits() {
				break
			}
		}
		if err := p.batch(ctx, happy, todo[:n]); err != nil {
			return err
		}
		todo = todo[n:]
	}
	return nil
}

const (
	// hurried instead of a happiness means that servers which are silent are left behind in any case.
	hurried = 0
	// hurriedRate is what a server should take at least, in bytes per second, so as not to be.
	hurriedRate = 1 << 20
)

// batch sends to targets side by side and waits for them; for those that are silent while the others suffice not longer than
// patience.
func (p *publication) batch(ctx context.Context, happy int, batch []*target) error {
	var nums []int
	for _, t := range batch {
		nums = append(nums, t.nums()...)
	}
	slices.Sort(nums)
	nums = slices.Compact(nums)
	if err := p.e.hold(ctx, nums); err != nil {
		return err
	}
	type result struct {
		t       *target
		outcome outcome
		err     error
	}
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	start := p.f.cfg.Now()
	results := make(chan result, len(batch))
	for _, t := range batch {
		go func() {
			o, err := p.testWrite(sending, t)
			results <- result{t, o, err}
		}()
	}
	timer := time.NewTimer(p.f.cfg.Patience + time.Duration(p.e.share()/hurriedRate)*time.Second)
	defer timer.Stop()
	late := false
	var over <-chan time.Time
	if happy == hurried {
		over = timer.C
	}
	for left := len(batch); left > 0; {
		select {
		case r := <-results:
			left--
			r.t.outcome, r.t.err = r.outcome, r.err
			if r.err != nil {
				p.f.cfg.Logger.Warn("mutable share not written", "peer_id", r.t.peer.server.Key().String(), "error", r.err)
				p.lost = append(p.lost, transfer.Blame{Server: r.t.peer.server.Key(), Share: -1, Reason: r.err})
			}
			if over == nil && !late && (p.happiness((*target).holds) >= happy || left <= len(batch)/2 && len(p.spare) > 0) {
				elapsed := p.f.cfg.Now().Sub(start)
				timer.Reset(max(p.f.cfg.Patience, patienceFactor*elapsed) - elapsed)
				over = timer.C
			}
		case <-over:
			late = true
			cancel() // who is not here by now is left behind
			for _, t := range batch {
				if t.outcome == unsent {
					p.f.tire(t.peer.server.Key())
				}
			}
			over = nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, t := range batch {
		if t.outcome == beaten {
			return errConflict
		}
	}
	return nil
}

// testWrite sends one target its shares.
func (p *publication) testWrite(ctx context.Context, t *target) (outcome, error) {
	own := p.header.Checkstring()
	renew, cancel := caps.LeaseSecrets(p.f.cfg.LeaseSecret, p.v.StorageIndex, t.peer.server.PeerID20())
	write := storage.TestWrite{
		Enabler: p.write.WriteEnabler(t.peer.server.PeerID20()),
		Renew:   renew, Cancel: cancel,
		Reads: []storage.Range{{Length: uint64(len(own))}},
	}
	size := uint64(0)
	for _, num := range t.nums() {
		test := storage.Test{Size: 1}
		if begin := t.tests[num]; len(begin) > 0 {
			test = storage.Test{Size: uint64(len(begin)), Specimen: begin}
		}
		c := p.e.change(num, []storage.Test{test})
		for _, w := range c.Writes {
			size += uint64(len(w.Data))
		}
		write.Shares = append(write.Shares, c)
	}
	limited, done := context.WithTimeout(ctx, p.f.allow(size))
	defer done()
	result, err := t.peer.server.TestWrite(limited, p.v.StorageIndex, write)
	switch {
	case err == nil && result.Applied:
		return applied, nil
	case err == nil:
		return p.compare(t, result, own)
	case limited.Err() != nil:
		return unknown, errSilent
	case isRefusal(err):
		return refused, err
	}
	return unknown, err
}

// compare says what a server meant that did not apply a change: that it has the version already, as after an answer that was
// lost on the way; that somebody else has written; or nothing that makes sense.
func (p *publication) compare(t *target, result storage.TestWriteResult, own []byte) (outcome, error) {
	mine, same := true, true
	for num, test := range t.tests {
		var now []byte
		if parts := result.Read[num]; len(parts) == 1 {
			now = parts[0]
		}
		mine = mine && string(now) == string(own)
		same = same && string(now) == string(test)
	}
	switch {
	case mine:
		return applied, nil
	case same:
		return refused, fmt.Errorf("%w: the server says that what it has is not what it has", transfer.ErrCorrupt)
	}
	return beaten, errConflict
}

// isRefusal tells a server that did nothing from one that may have.
func isRefusal(err error) bool {
	for _, sentinel := range []error{
		storage.ErrEnabler, storage.ErrImmutable, storage.ErrNoSpace, storage.ErrReadOnly, storage.ErrInvalid,
		storage.ErrTooMany, storage.ErrDamaged,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// result is what the publication came to.
func (p *publication) result(c caps.Cap) Result {
	r := Result{Cap: c, Header: p.header, Placement: make(map[int][]caps.PublicKey), Lost: p.lost}
	for _, t := range p.targets {
		if t.holds() {
			for _, num := range t.nums() {
				r.Placement[num] = append(r.Placement[num], t.peer.server.Key())
			}
		}
	}
	r.Happiness = p.happiness((*target).holds)
	return r
}

// unhappy is the error of a version that too few servers hold, or can hold.
func (p *publication) unhappy(happy int, counts func(*target) bool) error {
	return &transfer.UnhappyError{
		Placed: p.happiness(counts), Wanted: happy, Servers: len(p.targets), Failed: p.lost,
	}
}
