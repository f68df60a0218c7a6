package billing_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"trunkline/billing"
	"trunkline/billing/billingtest"
)

// The tests in this file walk through everything that can happen, in every
// order, within small numbers: a world is copied, something happens to the
// copy, and so on from each state not seen before.

// world is something that can be explored.
type world[W any] interface {
	// moves are what can happen next, by name.
	moves() []string
	// after copies the world and does one move.
	after(move string) W
	// key tells states apart.
	key() string
	// check fails the test if the state must not be.
	check(t *testing.T, path []string)
}

// explore visits every state that can be reached from w, and returns how many.
func explore[W world[W]](t *testing.T, w W) int {
	t.Helper()
	type node struct {
		w    W
		path []string
	}
	seen := map[string]bool{w.key(): true}
	for todo := []node{{w: w}}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n.w.check(t, n.path)
		if t.Failed() {
			return len(seen)
		}
		for _, m := range n.w.moves() {
			next := n.w.after(m)
			if k := next.key(); !seen[k] {
				seen[k] = true
				todo = append(todo, node{next, append(slices.Clone(n.path), m)})
			}
		}
	}
	return len(seen)
}

// traffic is one channel with one or two payer processes, each with a stream to
// the payee that can die and take what is on it along, or deliver it late.
type traffic struct {
	payers []*billing.Payer
	payee  *billing.Payee
	disk   billing.Voucher // what the payee has persisted

	up     [][]message  // vouchers on their way, by process
	down   [][]response // answers on their way
	late   []message    // vouchers on dead streams that the payee may still read
	toGo   []billing.Mark
	got    billing.Mark // verified so far, by all
	deaths int          // that may still happen
	hellos int          // likewise
	crash  int          // that may still happen to the payee
	exact  bool         // at rest all must be paid; otherwise at most all
}

type message struct {
	v    billing.Voucher
	base billing.Mark
}

type response struct {
	accepted bool
	latest   billing.Voucher
}

func (w *traffic) key() string {
	s := fmt.Sprintf("%v %v %v %v %v %v %d %d %d", w.disk, w.up, w.down, w.late, w.toGo, w.payee.Latest(), w.deaths, w.hellos, w.crash)
	for _, p := range w.payers {
		s += fmt.Sprintf(" %d %v %v", p.Unsigned(), p.Latest().Mark(), p.State())
	}
	return s
}

func (w *traffic) clone() *traffic {
	c := *w
	c.payers = nil
	for _, p := range w.payers {
		c.payers = append(c.payers, p.Clone())
	}
	c.payee = w.payee.CloneOn(billing.NewWindow(billing.MaxWindow))
	c.up, c.down = nil, nil
	for i := range w.up {
		c.up = append(c.up, slices.Clone(w.up[i]))
		c.down = append(c.down, slices.Clone(w.down[i]))
	}
	c.late = slices.Clone(w.late)
	c.toGo = slices.Clone(w.toGo)
	return &c
}

func (w *traffic) moves() (list []string) {
	for i, p := range w.payers {
		if w.toGo[i].Bytes > 0 {
			list = append(list, fmt.Sprint("verify ", i))
		}
		if w.toGo[i].Lookups > 0 {
			list = append(list, fmt.Sprint("lookup ", i))
		}
		if _, _, err := p.Clone().Next(); err == nil {
			list = append(list, fmt.Sprint("sign ", i))
		}
		if len(w.up[i]) > 0 {
			list = append(list, fmt.Sprint("take ", i))
			if w.crash > 0 {
				list = append(list, fmt.Sprint("crash ", i))
			}
		}
		if len(w.down[i]) > 0 {
			list = append(list, fmt.Sprint("answer ", i))
		}
		if w.deaths > 0 && len(w.up[i])+len(w.down[i]) > 0 {
			list = append(list, fmt.Sprint("die ", i))
		}
	}
	if w.hellos > 0 && w.payee.Latest() != nil {
		for i := range w.payers {
			list = append(list, fmt.Sprint("hello ", i))
		}
	}
	if len(w.late) > 0 {
		list = append(list, "late 0", "gone 0")
	}
	return list
}

func (w *traffic) after(move string) *traffic {
	c := w.clone()
	var what string
	var i int
	if _, err := fmt.Sscan(move, &what, &i); err != nil {
		panic(err)
	}
	switch what {
	case "verify":
		c.payers[i].Verified(1)
		c.toGo[i].Bytes--
		c.got.Bytes++
	case "lookup":
		c.payers[i].LookedUp()
		c.toGo[i].Lookups--
		c.got.Lookups++
	case "sign":
		v, base, err := c.payers[i].Next()
		if err != nil {
			panic(err)
		}
		c.up[i] = append(c.up[i], message{v, base})
	case "take":
		m := c.up[i][0]
		c.up[i] = c.up[i][1:]
		c.down[i] = append(c.down[i], c.take(m))
	case "late":
		c.take(c.late[0])
		c.late = c.late[1:]
	case "gone":
		c.late = c.late[1:]
	case "answer":
		a := c.down[i][0]
		c.down[i] = c.down[i][1:]
		var err error
		if a.accepted {
			err = c.payers[i].Accepted()
		} else {
			err = c.payers[i].Conflict(a.latest)
		}
		if err != nil {
			panic(err)
		}
	case "hello":
		// A further stream begins while a voucher may be on its way.
		c.hellos--
		c.reconnect(i)
	case "die":
		c.deaths--
		c.die(i)
		c.reconnect(i)
	case "crash":
		// The voucher is taken, but the disk does not have it yet.
		c.crash--
		m := c.up[i][0]
		_ = c.payee.Accept(m.base, m.v)
		c.late = nil
		for i := range c.payers {
			c.die(i)
		}
		c.late = nil
		var last *billing.Voucher
		if c.disk.Mark() != (billing.Mark{}) {
			last = &c.disk
		}
		a := c.payers[0].Approval()
		var err error
		if c.payee, err = billing.NewPayee(a, explored, billing.NewWindow(billing.MaxWindow), last); err != nil {
			panic(err)
		}
		for i := range c.payers {
			c.reconnect(i)
		}
	}
	return c
}

// take is what the payee does with a voucher.
func (w *traffic) take(m message) response {
	err := w.payee.Accept(m.base, m.v)
	if stale, ok := errors.AsType[*billing.StaleError](err); ok {
		return response{latest: stale.Latest}
	}
	if err != nil {
		panic(err)
	}
	w.disk = m.v
	w.payee.Persisted(m.v)
	return response{accepted: true}
}

func (w *traffic) die(i int) {
	if len(w.up[i])+len(w.down[i]) > 0 {
		w.payers[i].Lost()
	}
	w.late = append(w.late, w.up[i]...)
	w.up[i], w.down[i] = nil, nil
}

// reconnect shows the payer its own last signature.
func (w *traffic) reconnect(i int) {
	if v := w.payee.Latest(); v != nil {
		if err := w.payers[i].Adopt(*v); err != nil {
			panic(err)
		}
	}
}

func (w *traffic) check(t *testing.T, path []string) {
	t.Helper()
	var paid billing.Mark
	if v := w.payee.Latest(); v != nil {
		paid = v.Mark()
	}
	if !w.got.Covers(paid) {
		t.Errorf("paid %v, verified %v, after %q", paid, w.got, path)
	}
	if w.exact && len(w.moves()) == 0 && paid != w.got {
		t.Errorf("at rest paid %v, verified %v, after %q", paid, w.got, path)
	}
}

var explored = billingtest.Tariff(panicker{}, func(v *billing.Tariff) { v.PerGiB, v.PerLookup = 1<<30, 1 })

// panicker is a testing.TB for what is made before there is a test.
type panicker struct{ testing.TB }

func (panicker) Helper()                      {}
func (panicker) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (panicker) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// TestNeitherUnderNorOverpaid interleaves everything that one or two processes
// with one key can do on one channel.
func TestNeitherUnderNorOverpaid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		each           []billing.Mark
		deaths, crashs int
		hellos         int
		exact          bool
	}{
		{"one process", []billing.Mark{{Bytes: 3, Lookups: 2}}, 0, 0, 2, true},
		{"one process, streams die", []billing.Mark{{Bytes: 3, Lookups: 1}}, 3, 0, 1, true},
		{"one process, payee crashes", []billing.Mark{{Bytes: 3, Lookups: 1}}, 1, 2, 1, true},
		{"two processes", []billing.Mark{{Bytes: 3}, {Bytes: 3}}, 0, 0, 1, true},
		{"two processes, look-ups", []billing.Mark{{Bytes: 1, Lookups: 1}, {Bytes: 1, Lookups: 1}}, 0, 0, 1, true},
		{"two processes, streams die", []billing.Mark{{Bytes: 2}, {Bytes: 2}}, 2, 0, 0, false},
		{"two processes, payee crashes", []billing.Mark{{Bytes: 2}, {Bytes: 2}}, 1, 1, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				tt.deaths, tt.hellos = min(tt.deaths, 1), min(tt.hellos, 1)
			}
			a, tariff := unitApproval(t, nil)
			payee, err := billing.NewPayee(a, tariff, billing.NewWindow(billing.MaxWindow), nil)
			if err != nil {
				t.Fatal(err)
			}
			w := &traffic{
				payee: payee, toGo: slices.Clone(tt.each), deaths: tt.deaths, hellos: tt.hellos, crash: tt.crashs, exact: tt.exact,
				disk: billing.Voucher{Channel: a.Channel},
				up:   make([][]message, len(tt.each)), down: make([][]response, len(tt.each)),
			}
			for range tt.each {
				p, err := billing.NewPayer(a, tariff)
				if err != nil {
					t.Fatal(err)
				}
				w.payers = append(w.payers, p)
			}
			n := explore(t, w)
			t.Logf("%d states", n)
			if n < 50 {
				t.Errorf("only %d states", n)
			}
		})
	}
}

// account is one payer account at one payee: channels of several keys, each with
// several streams, and a payer that signs or does not, as it likes.
type account struct {
	w        *billing.Window
	channels []*billing.Payee
	sent     []uint64 // truth, by channel
	signed   []uint64
	streams  [][]uint64 // bytes sent on each stream since the channel's last voucher
	limit    uint64     // of bytes on each channel
	window   int64      // W, before it may be lowered
}

func (a *account) key() string {
	return fmt.Sprint(a.sent, a.signed, a.streams, a.w.Exposure(), a.w.Limit())
}

func (a *account) moves() (list []string) {
	for c := range a.channels {
		for s := range a.streams[c] {
			for n := uint64(1); n <= 2; n++ {
				if a.sent[c]+n <= a.limit && a.channels[c].MaySend(n, noon) == billing.Send {
					list = append(list, fmt.Sprintf("send %d %d %d", c, s, n))
				}
			}
			if a.streams[c][s] > 0 {
				list = append(list, fmt.Sprintf("die %d %d 0", c, s))
			}
		}
		if a.signed[c] < a.limit {
			list = append(list, fmt.Sprintf("sign %d 0 1", c))
		}
		if a.signed[c] < a.sent[c] {
			list = append(list, fmt.Sprintf("repay %d 0 0", c))
		}
	}
	return append(list, "default 0 0 0")
}

func (a *account) after(move string) *account {
	c := &account{w: a.w.Clone(), sent: slices.Clone(a.sent), signed: slices.Clone(a.signed), limit: a.limit, window: a.window}
	for i, p := range a.channels {
		c.channels = append(c.channels, p.CloneOn(c.w))
		c.streams = append(c.streams, slices.Clone(a.streams[i]))
	}
	var what string
	var ch, s int
	var n uint64
	if _, err := fmt.Sscan(move, &what, &ch, &s, &n); err != nil {
		panic(err)
	}
	p := c.channels[ch]
	sign := func(n uint64) {
		base := billing.Mark{Bytes: c.signed[ch]}
		c.signed[ch] += n
		v := billing.Voucher{Channel: p.Approval().Channel, Bytes: c.signed[ch], Credits: billing.Credits(c.signed[ch])}
		if err := p.Accept(base, v); err != nil {
			panic(err)
		}
		p.Persisted(v)
	}
	switch what {
	case "send":
		p.Sent(n)
		c.sent[ch] += n
		c.streams[ch][s] += n
	case "die":
		p.Abandon(c.streams[ch][s])
		c.streams[ch][s] = 0
	case "sign":
		sign(n)
	case "repay":
		sign(c.sent[ch] - c.signed[ch])
		p.Repay(0)
		clear(c.streams[ch])
	case "default":
		c.w.SetLimit(min(0, c.w.Limit()))
	}
	return c
}

func (a *account) check(t *testing.T, path []string) {
	t.Helper()
	var unsigned uint64
	for c := range a.channels {
		if a.sent[c] > a.signed[c] {
			unsigned += a.sent[c] - a.signed[c]
		}
	}
	if unsigned > a.w.Exposure() {
		t.Errorf("lost %d, the window says %d, after %q", unsigned, a.w.Exposure(), path)
	}
	if unsigned > uint64(max(0, a.window)) || a.w.Exposure() > uint64(max(0, a.window)) {
		t.Errorf("lost %d, exposed %d with a window of %d, after %q", unsigned, a.w.Exposure(), a.window, path)
	}
	if len(path) == 0 {
		return
	}
	var what string
	var c, s int
	var n uint64
	if _, err := fmt.Sscan(path[len(path)-1], &what, &c, &s, &n); err != nil {
		t.Fatal(err)
	}
	if lead := -a.w.Limit(); what == "send" && lead > 0 && a.sent[c]+uint64(lead) > a.signed[c] {
		t.Errorf("sent %d with %d signed and a window of %d, after %q", a.sent[c], a.signed[c], a.w.Limit(), path)
	}
}

// TestI5_UnvouchedWithinTheAccountsWindow enumerates streams × channels × keys
// of one account that signs, or stops signing, at every point.
func TestI5_UnvouchedWithinTheAccountsWindow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		keys, channels, streams int
		window                  int64
		limit                   uint64
	}{
		{1, 1, 1, 3, 5},
		{1, 1, 2, 3, 5},
		{1, 2, 1, 3, 4},
		{2, 1, 1, 3, 4},
		{2, 1, 2, 2, 3},
		{3, 1, 1, 2, 2},
		{1, 3, 1, 2, 2},
		{2, 1, 1, 0, 3},
		{2, 1, 1, -2, 4},
	} {
		t.Run(fmt.Sprintf("%d keys %d channels %d streams W=%d", tt.keys, tt.channels, tt.streams, tt.window), func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				tt.limit = min(tt.limit, 3)
			}
			a := &account{w: billing.NewWindow(tt.window), limit: tt.limit, window: tt.window}
			for k := range tt.keys {
				for c := range tt.channels {
					approval, tariff := unitApproval(t, func(v *billing.Approval) {
						v.Payer = billingtest.Public(fmt.Sprint("payer ", k))
						v.Period = uint64(c)
					})
					p, err := billing.NewPayee(approval, tariff, a.w, nil)
					if err != nil {
						t.Fatal(err)
					}
					a.channels = append(a.channels, p)
					a.sent, a.signed = append(a.sent, 0), append(a.signed, 0)
					a.streams = append(a.streams, make([]uint64, tt.streams))
				}
			}
			n := explore(t, a)
			t.Logf("%d states", n)
			if n < 10 {
				t.Errorf("only %d states", n)
			}
		})
	}
}
