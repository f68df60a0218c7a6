package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/cmd/internal/node"
	"trunkline/grid/account"
	"trunkline/grid/longdistance"
	"trunkline/grid/manager"
	"trunkline/grid/storage"
	"trunkline/p2p"
)

const (
	demoSize    = 64 << 20
	demoServers = 10
	demoListen  = "/ip4/127.0.0.1/tcp/0"
	demoStart   = 30 * time.Second // for a node to be ready
)

var errDemo = errors.New("the demo's figures do not agree")

func (a *app) demoCmd() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:     "demo [FILE]",
		Short:   "Run two grids and a clearinghouse here, and make a call between them",
		GroupID: "start",
		Long: `Start a clearinghouse and two grids of ten servers on this machine, each node a libp2p host of its own
on a loopback port, running what "trunkline run" runs. A member of one grid stores a file; a member of
the other opens it with nothing but its cap. Each step says what travelled where, and the end compares
hashes and both signed bills; if anything differs, the exit code says so.

Without FILE, 64 MiB of random bytes are made. Everything lives in a temporary directory, which is
removed at the end.`,
		Example: "  trunkline demo\n  trunkline demo thesis.pdf\n  trunkline demo --keep",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := os.MkdirTemp("", "trunkline-demo-")
			if err != nil {
				return fmt.Errorf("making a directory for the demo: %w", err)
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			d := &demo{app: a, dir: dir, log: a.logger(false), ctx: ctx, failed: make(chan error, 1)}
			if a.json {
				d.out = io.Discard
			} else {
				d.out = a.stdout
			}
			err = d.play(args)
			cancel()
			d.nodes.Wait()
			if keep {
				a.say("kept %s", dir)
			} else {
				err = errors.Join(err, os.RemoveAll(dir))
			}
			if err != nil || !a.json {
				return err
			}
			return a.print(d.result, nil)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the nodes' directories")
	return cmd
}

// demo is one run of the demo.
type demo struct {
	*app
	out    io.Writer
	dir    string
	log    *slog.Logger
	ctx    context.Context // ends with the demo
	nodes  sync.WaitGroup
	failed chan error // the first node that ended by itself
	number int
	result demoResult
}

// demoResult is what --json prints.
type demoResult struct {
	Bytes       uint64    `json:"bytes"`
	PutSeconds  float64   `json:"put_seconds"`
	GetSeconds  float64   `json:"get_seconds"`
	PutSHA256   string    `json:"put_sha256"`
	GotSHA256   string    `json:"got_sha256"`
	BetweenGrid node.Bill `json:"bill_between_grids"`
	WithinGrid  node.Bill `json:"bill_within_grid"`
	Agree       bool      `json:"agree"`
}

func (d *demo) step(format string, args ...any) {
	d.number++
	fmt.Fprintf(d.out, "\n%d. "+format+"\n", append([]any{d.number}, args...)...)
}

func (d *demo) line(format string, args ...any) { fmt.Fprintf(d.out, "   "+format+"\n", args...) }

func (d *demo) home(name string) node.Home { return node.Home{Dir: filepath.Join(d.dir, name)} }

func (d *demo) config() (node.Config, error) {
	c := node.DefaultConfig()
	c.Listen = []string{demoListen}
	c.Storage.ReservedBytes = 0
	return c, node.PickPorts(&c)
}

// start runs a node and returns its peer address.
func (d *demo) start(name string) (string, error) {
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	d.nodes.Go(func() {
		err := node.Run(d.ctx, d.home(name), node.RunOptions{
			Logger: d.log.With("node", name), ExitCode: exitCode, Ready: func(address string) { ready <- address },
		})
		if err != nil && d.ctx.Err() == nil {
			err = fmt.Errorf("node %s: %w", name, err)
			ended <- err
			select {
			case d.failed <- err:
			default:
			}
		}
	})
	select {
	case address := <-ready:
		return address, nil
	case err := <-ended:
		return "", err
	case <-d.ctx.Done():
		return "", d.ctx.Err()
	case <-time.After(demoStart):
		return "", fmt.Errorf("node %s is not ready after %v", name, demoStart)
	}
}

// join makes a node directory with a ticket, and runs it unless it is a client's.
func (d *demo) join(name, ticket string) error {
	c, err := d.config()
	if err != nil {
		return err
	}
	c.Name = name
	if _, err := node.Join(d.ctx, d.home(name), c, ticket, d.log); err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	if !c.Daemon() && strings.HasSuffix(name, ".client") {
		return nil
	}
	_, err = d.start(name)
	return err
}

func (d *demo) ask(name, op string, in, out any) error {
	if err := node.Ask(d.ctx, d.home(name), op, in, out); err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	return nil
}

// grid makes a grid, joins the clearinghouse and starts its nodes.
func (d *demo) grid(name, house, member string) (area string, err error) {
	c, err := d.config()
	if err != nil {
		return "", err
	}
	boss := name + ".manager"
	made, err := node.CreateGrid(d.home(boss), c, name, "", 0)
	if err != nil {
		return "", err
	}
	if _, err := d.start(boss); err != nil {
		return "", err
	}
	prices := []node.TariffRequest{
		{Market: manager.Export, Terms: &manager.Terms{PerGiB: billing.Unit / 100, PerLookup: billing.Unit / 100_000}},
		{Market: manager.Local, Terms: &manager.Terms{PerGiB: billing.Unit / 50}},
	}
	for _, p := range prices {
		if err := d.ask(boss, "grid/tariff", p, nil); err != nil {
			return "", err
		}
	}
	if err := d.ask(boss, "grid/subscribe", node.PeerRequest{Peer: house}, nil); err != nil {
		return "", err
	}
	nodes := map[string]string{name + ".gateway": "gateway", name + ".contact": "contact", member + ".client": "client"}
	for i := range demoServers {
		nodes[fmt.Sprintf("%s.server%d", name, i)] = "server"
	}
	tickets := map[string]string{}
	for _, role := range []string{"gateway", "contact", "client", "server"} {
		var t manager.TicketInfo
		if err := d.ask(boss, "grid/invite", node.InviteRequest{Roles: role, Uses: demoServers, Life: time.Hour}, &t); err != nil {
			return "", err
		}
		tickets[role] = t.Text
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for n, role := range nodes {
		wg.Go(func() {
			if err := d.join(n, tickets[role]); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return made.Area, errors.Join(errs...)
}

// traffic is what a node's streams of one protocol carried so far.
func (d *demo) traffic(name string, p p2p.Protocol) (p2p.Traffic, error) {
	var all map[string]p2p.Traffic
	err := d.ask(name, "traffic", struct{}{}, &all)
	return all[p.ID], err
}

func (d *demo) play(args []string) error {
	src, size, want, err := d.source(args)
	if err != nil {
		return err
	}
	defer src.Close()
	fmt.Fprintln(d.out, "Two grids and a clearinghouse on this machine: every node a libp2p host of its own,\non a loopback port, running what \"trunkline run\" runs.")
	began := time.Now()
	c, err := d.config()
	if err != nil {
		return err
	}
	if _, err := node.CreateClearinghouse(d.home("clearinghouse"), c, "clearinghouse", "", true, 0); err != nil {
		return err
	}
	house, err := d.start("clearinghouse")
	if err != nil {
		return err
	}
	d.step("a clearinghouse, which approves calls between grids and keeps their books")
	d.line("%s", house)
	areas := map[string]string{}
	for _, g := range []struct{ name, member string }{{"alpha", "alice"}, {"beta", "bob"}} {
		if areas[g.name], err = d.grid(g.name, house, g.member); err != nil {
			return err
		}
		d.step("the grid %s: a manager, %d storage servers, a gateway, a contact point; %s is a member", g.name, demoServers, g.member)
		d.line("area code %s", areas[g.name])
	}
	d.line("%d nodes started in %.1f s", 2*(demoServers+3)+1, time.Since(began).Seconds())

	d.result.Bytes, d.result.PutSHA256 = size, want
	cap, err := d.put(src, size)
	if err != nil {
		return err
	}
	if err := d.lookUp(areas["alpha"]); err != nil {
		return err
	}
	if err := d.get(cap, size); err != nil {
		return err
	}
	d.step("compare")
	d.line("SHA-256 of what alice put  %s", want)
	d.line("SHA-256 of what bob got    %s", d.result.GotSHA256)
	if d.result.GotSHA256 != want {
		return fmt.Errorf("%w: bob's file is not alice's", errDemo)
	}
	d.line("equal")
	if err := d.bills(cap, size); err != nil {
		return err
	}
	select {
	case err := <-d.failed:
		return err
	default:
	}
	d.result.Agree = true
	fmt.Fprintf(d.out, "\nEverything agrees. Next: \"trunkline grid create NAME\" starts a grid of your own.\n")
	return nil
}

// source opens the file given, or makes one of random bytes, and hashes it.
func (d *demo) source(args []string) (f *os.File, size uint64, sum string, err error) {
	if len(args) == 1 {
		if f, err = os.Open(args[0]); err != nil {
			return nil, 0, "", fmt.Errorf("reading the file: %w", err)
		}
	} else {
		if f, err = os.Create(filepath.Join(d.dir, "random")); err != nil {
			return nil, 0, "", err
		}
		if _, err = io.CopyN(f, rand.Reader, demoSize); err != nil {
			f.Close()
			return nil, 0, "", err
		}
	}
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		f.Close()
		return nil, 0, "", fmt.Errorf("reading the file: %w", err)
	}
	return f, uint64(n), hex.EncodeToString(h.Sum(nil)), nil
}

func (d *demo) put(src io.ReaderAt, size uint64) (caps.Cap, error) {
	d.step("alice puts %s into alpha", mib(size))
	alice, err := node.OpenClient(d.ctx, d.home("alice.client"), node.ClientOptions{Logger: d.log})
	if err != nil {
		return caps.Cap{}, err
	}
	defer alice.Close()
	start := time.Now()
	put, err := alice.Put(d.ctx, src, size, func(uint64) {})
	if err != nil {
		return caps.Cap{}, err
	}
	took := time.Since(start)
	d.result.PutSeconds = took.Seconds()
	cap, err := caps.Parse(put.Cap)
	if err != nil {
		return cap, err
	}
	if v, ok := cap.CHKVerify(); ok {
		var stored uint64
		for i := range demoServers {
			t, err := d.traffic(fmt.Sprintf("alpha.server%d", i), storage.Protocol)
			if err != nil {
				return cap, err
			}
			stored += t.Received
		}
		d.line("encrypted, then erasure-coded: any %d of %d shares give it back", v.K, v.N)
		d.line("alice → %d servers  %s in %d shares, on their disks after %.2f s (%s/s of plaintext)",
			put.Servers, mib(stored), put.Shares, took.Seconds(), mb(size, took))
	} else {
		d.line("so small that the cap itself holds it: nothing is stored")
	}
	text := cap.Text()
	d.line("the cap, which alice mails to bob (it is a password; this one dies with the demo):")
	d.line("%s", text)
	return cap, nil
}

// lookUp shows how anybody finds a grid from its area code.
func (d *demo) lookUp(area string) error {
	code, err := caps.ParseAreaCode(area)
	if err != nil {
		return err
	}
	d.step("how beta's gateway will find alpha: the area code is a key that signed the record it leads to")
	// The gateway asks the same sources; this look-up shows the answers.
	info, err := node.LookUp(d.ctx, d.home("beta.gateway"), code, d.log, func(node.LookupStep) {})
	if err != nil {
		return err
	}
	found := map[string]int{}
	for _, s := range info.Steps {
		kind, _, _ := strings.Cut(s.Text, " ")
		if strings.Contains(s.Text, ": found") {
			found[kind]++
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		name := map[string]string{"dht": "DHT, under its derived keys", "directory": "directories of clearinghouse and gateways", "cache": "cache"}[kind]
		d.line("%s from the %s", count(found[kind], "valid answer"), name)
	}
	d.line("price %s; contact point %s", info.Price, strings.Join(info.Contacts, " "))
	return nil
}

func (d *demo) get(cap caps.Cap, size uint64) error {
	d.step("bob, a member of beta, gets it with nothing but the cap")
	before, err := d.hops()
	if err != nil {
		return err
	}
	bob, err := node.OpenClient(d.ctx, d.home("bob.client"), node.ClientOptions{Logger: d.log})
	if err != nil {
		return err
	}
	defer bob.Close()
	start := time.Now()
	var first time.Duration
	h := sha256.New()
	got, err := bob.Get(d.ctx, cap, node.Range{Whole: true}, h, func(done, _ uint64) {
		if first == 0 && done > 0 {
			first = time.Since(start)
		}
	})
	took := time.Since(start)
	if err != nil {
		return err
	}
	d.result.GetSeconds, d.result.GotSHA256 = took.Seconds(), hex.EncodeToString(h.Sum(nil))
	if got.Bytes != size {
		return fmt.Errorf("%w: bob got %d of %d bytes", errDemo, got.Bytes, size)
	}
	if got.Hop != "gateway" {
		d.line("%s, from the cap itself", mib(got.Bytes))
		return nil
	}
	after, err := d.hops()
	if err != nil {
		return err
	}
	d.line("alpha's servers → alpha's contact point  %-10s blocks, each checked against its share's hash tree", mib(after.blocks-before.blocks))
	d.line("contact point   → beta's gateway         %-10s ciphertext, checked before it is signed for", mib(after.out-before.out))
	d.line("gateway         → bob                    %-10s ciphertext, checked again, then decrypted", mib(after.in-before.in))
	d.line("vouchers back: bob → gateway %d bytes, gateway → contact point %d bytes", after.inBack-before.inBack, after.outBack-before.outBack)
	d.line("%s of plaintext in %.2f s (%s/s), first byte after %d ms; keys stayed with alice and bob",
		mib(got.Bytes), took.Seconds(), mb(size, took), first.Milliseconds())
	return nil
}

// hops are the byte counters of the nodes on the way of a call.
type hops struct{ blocks, out, outBack, in, inBack uint64 }

func (d *demo) hops() (h hops, err error) {
	contactShare, err := d.traffic("alpha.contact", storage.Protocol)
	if err != nil {
		return h, err
	}
	contactRange, err := d.traffic("alpha.contact", longdistance.Protocol)
	if err != nil {
		return h, err
	}
	gateway, err := d.traffic("beta.gateway", longdistance.Protocol)
	if err != nil {
		return h, err
	}
	// The gateway speaks the range protocol on both sides: what the contact point counts is the outer one.
	h.blocks, h.out, h.outBack = contactShare.Received, contactRange.Sent, contactRange.Received
	h.in, h.inBack = gateway.Sent-contactRange.Received, gateway.Received-contactRange.Sent
	return h, nil
}

// bills posts what was signed and compares the signed statements with the bytes and with each other.
func (d *demo) bills(cap caps.Cap, size uint64) error {
	if _, ok := cap.CHKVerify(); !ok {
		d.step("nothing was fetched from another grid, so there is no bill")
		return nil
	}
	d.step("the bills: both are signed by who keeps the books, over vouchers that the payer signed")
	for _, n := range []string{"alpha.contact", "beta.gateway"} {
		var round account.Round
		if err := d.ask(n, "bill", node.BillRequest{Post: true}, &round); err != nil {
			return err
		}
	}
	var earned, owed node.Bill
	if err := d.ask("alpha.manager", "bill", node.BillRequest{}, &earned); err != nil {
		return err
	}
	if err := d.ask("beta.manager", "bill", node.BillRequest{}, &owed); err != nil {
		return err
	}
	bob, err := node.OpenClient(d.ctx, d.home("bob.client"), node.ClientOptions{Logger: d.log})
	if err != nil {
		return err
	}
	defer bob.Close()
	member, err := bob.Bill(d.ctx, 0)
	if err != nil {
		return err
	}
	d.result.BetweenGrid, d.result.WithinGrid = owed, member
	for _, b := range []struct {
		who  string
		bill node.Bill
	}{{"alpha", earned}, {"beta", owed}, {"bob", member}} {
		if len(b.bill.Statements) != 1 {
			return fmt.Errorf("%w: %s has %d statements, not one", errDemo, b.who, len(b.bill.Statements))
		}
		s := b.bill.Statements[0]
		if !s.Verified || s.Bytes != size {
			return fmt.Errorf("%w: the statement of %s is over %d bytes, %d were delivered (signature good: %t)", errDemo, b.who, s.Bytes, size, s.Verified)
		}
	}
	a, b, m := earned.Statements[0], owed.Statements[0], member.Statements[0]
	d.line("between grids   beta owes %s %s for %d bytes and %s; alpha earned %s", b.Debit, b.Currency, b.Bytes, count(int(b.Lookups), "look-up"), a.Credit)
	d.line("                clearinghouse's signature %s…", hex.EncodeToString(b.Signed[len(b.Signed)-8:]))
	d.line("within beta     bob owes %s %s for %d bytes", m.Debit, m.Currency, m.Bytes)
	d.line("                manager's signature       %s…", hex.EncodeToString(m.Signed[len(m.Signed)-8:]))
	if a.Credit != b.Debit {
		return fmt.Errorf("%w: alpha earned %s and beta owes %s", errDemo, a.Credit, b.Debit)
	}
	d.line("bytes billed = bytes verified = bytes of the file")
	return nil
}

// mib is a size for people.
func mib(n uint64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func mb(n uint64, d time.Duration) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6/d.Seconds()) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
