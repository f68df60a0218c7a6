// Command e2e is the end-to-end test: one clearinghouse and two grids of ten servers, each role a process of its own,
// driven only through the command line. It stores 100 MiB in one grid, reads it from the other, kills seven of ten
// servers, corrupts a share on an eighth, reads it again, and compares the bills with the bytes.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trunkline/cmd/internal/trunktest"
)

const (
	fileSize = 100 << 20
	servers  = 10
	price    = "0.02" // per GiB
)

func main() {
	start := time.Now()
	dir, err := os.MkdirTemp("", "trunkline-e2e-")
	if err == nil {
		err = run(dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: FAILED after %v: %v\n(the nodes' logs are in %s)\n", time.Since(start).Round(time.Second), err, dir)
		os.Exit(1)
	}
	os.RemoveAll(dir)
	fmt.Printf("e2e: passed in %v\n", time.Since(start).Round(time.Second))
}

func step(format string, args ...any) { fmt.Printf("e2e: "+format+"\n", args...) }

func run(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	c, err := trunktest.New(ctx, dir)
	if err != nil {
		return err
	}
	defer c.Close()

	house, err := c.Clearinghouse(ctx, "house")
	if err != nil {
		return err
	}
	alpha, err := c.Grid(ctx, "alpha", servers, house, price)
	if err != nil {
		return err
	}
	beta, err := c.Grid(ctx, "beta", servers, house, price)
	if err != nil {
		return err
	}
	if err := errors.Join(alpha.Client(ctx, "alice", "client"), beta.Client(ctx, "bob", "client")); err != nil {
		return err
	}
	step("one clearinghouse, two grids of %d servers, %d processes", servers, 1+len(alpha.Nodes())+len(beta.Nodes()))

	file := filepath.Join(dir, "file")
	want, err := writeFile(file)
	if err != nil {
		return err
	}
	out, err := c.Run(ctx, "alice", "put", file)
	if err != nil {
		return err
	}
	cap := string(bytes.TrimSpace(out))
	if !strings.HasPrefix(cap, "URI:LD:"+alpha.Area+":CHK:") {
		return fmt.Errorf("put did not print a long-distance cap of its area but %d bytes starting %.20q", len(cap), cap)
	}
	step("alice put %d MiB into alpha", fileSize>>20)

	if err := get(ctx, c, "bob", cap, want); err != nil {
		return fmt.Errorf("bob's first get: %w", err)
	}
	step("bob got it from beta, equal")
	if err := get(ctx, c, "alice", cap, want); err != nil {
		return fmt.Errorf("alice's local get: %w", err)
	}
	if err := compareBills(ctx, c, alpha, beta, fileSize); err != nil {
		return err
	}

	if err := vandalise(c, alpha); err != nil {
		return err
	}
	step("killed 7 of 10 servers, corrupted the share on an eighth")
	if err := get(ctx, c, "bob", cap, want); err != nil {
		return fmt.Errorf("bob's get after the damage: %w", err)
	}
	if err := named(ctx, c, alpha, "alpha-server7"); err != nil {
		return err
	}
	step("bob got it again, equal; the contact point named the liar")
	if err := compareBills(ctx, c, alpha, beta, 2*fileSize); err != nil {
		return err
	}
	if err := refusals(ctx, c, beta, cap); err != nil {
		return err
	}
	for _, n := range []*trunktest.Node{house, alpha.Manager, alpha.Gateway, alpha.Contact, beta.Manager, beta.Gateway, beta.Contact} {
		if err := n.Stop(); err != nil {
			return fmt.Errorf("stopping %s: %w", n.Name, err)
		}
	}
	step("every role ended cleanly when asked")
	return nil
}

// writeFile makes a file of reproducible noise.
func writeFile(path string) (sum string, err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	src := rand.NewChaCha8([32]byte([]byte("trunkline end to end, seed one..")))
	if _, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(src, fileSize)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), f.Close()
}

// get fetches with the cap on standard input and compares; the output file must be whole and the only trace.
func get(ctx context.Context, c *trunktest.Cluster, home, cap, want string) error {
	out := filepath.Join(c.Dir, home+".out")
	defer os.Remove(out)
	if _, err := c.RunIn(ctx, home, strings.NewReader(cap), "get", "-", "-o", out); err != nil {
		return err
	}
	f, err := os.Open(out)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("got SHA-256 %s, want %s", got, want)
	}
	return nil
}

// statement is the part of `trunkline bill --json` that is compared.
type statement struct {
	Approver string `json:"approver"`
	Bytes    uint64 `json:"bytes"`
	Debit    string `json:"debit"`
	Credit   string `json:"credit"`
	Verified bool   `json:"verified"`
}

// compareBills asks both grids' managers and the member for their signed statements: the bytes must be the bytes, and
// what beta owes must be what alpha earned.
func compareBills(ctx context.Context, c *trunktest.Cluster, alpha, beta *trunktest.Grid, want uint64) error {
	var earned, owed, member struct {
		Statements []statement `json:"statements"`
	}
	// The posters send what is signed and idle; asking for a bill first asks them to.
	for _, contact := range []string{"alpha-contact", "beta-gateway"} {
		if _, err := c.Run(ctx, contact, "bill", "--post"); err != nil {
			return err
		}
	}
	if err := c.JSON(ctx, &earned, "alpha-manager", "bill"); err != nil {
		return err
	}
	if err := c.JSON(ctx, &owed, "beta-manager", "bill"); err != nil {
		return err
	}
	if err := c.JSON(ctx, &member, "bob", "bill"); err != nil {
		return err
	}
	for name, s := range map[string][]statement{"alpha": earned.Statements, "beta": owed.Statements, "bob": member.Statements} {
		if len(s) != 1 || !s[0].Verified || s[0].Bytes != want {
			return fmt.Errorf("the bill of %s is not one verified statement over %d bytes: %+v", name, want, s)
		}
	}
	if earned.Statements[0].Credit != owed.Statements[0].Debit || owed.Statements[0].Debit == "0" {
		return fmt.Errorf("alpha earned %s and beta owes %s", earned.Statements[0].Credit, owed.Statements[0].Debit)
	}
	step("bills agree with the bytes: %d bytes, beta owes alpha %s", want, owed.Statements[0].Debit)
	return nil
}

// vandalise leaves three servers: one with a corrupt share, and two with three good shares between them.
func vandalise(c *trunktest.Cluster, g *trunktest.Grid) error {
	shares := make([]string, len(g.Servers))
	for i := range g.Servers {
		found, err := filepath.Glob(filepath.Join(c.Home(fmt.Sprintf("%s-server%d", g.Name, i)), "storage", "shares", "??", "*", "*"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("server %d holds %d shares, want 1 (%w)", i, len(found), err)
		}
		shares[i] = found[0]
	}
	for i := range 7 {
		g.Servers[i].Kill()
	}
	// A good share of a dead server moves in with the ninth: the one to be found when the eighth lies.
	raw, err := os.ReadFile(shares[0])
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(shares[8]), filepath.Base(shares[0])), raw, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(shares[7], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	const somewhereInTheBlocks = 5 << 20
	if _, err := f.ReadAt(b[:], somewhereInTheBlocks); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b[:], somewhereInTheBlocks)
	return err
}

// named looks for the liar's key beside the word in the contact point's log.
func named(ctx context.Context, c *trunktest.Cluster, g *trunktest.Grid, liar string) error {
	var members []struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	if err := c.JSON(ctx, &members, g.Name+"-manager", "grid", "members"); err != nil {
		return err
	}
	for _, m := range members {
		if m.Name != liar {
			continue
		}
		for line := range strings.Lines(g.Contact.Log()) {
			if strings.Contains(line, m.Key) && strings.Contains(line, "share is corrupt") {
				return nil
			}
		}
	}
	return fmt.Errorf("the contact point did not name %s as the server of a corrupt share", liar)
}

// refusals are the failures a member meets first: each has its exit code, one sentence, and leaves no file behind.
func refusals(ctx context.Context, c *trunktest.Cluster, beta *trunktest.Grid, cap string) error {
	if _, err := c.Run(ctx, "nobody", "init", "--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap", beta.Gateway.Address); err != nil {
		return err
	}
	cases := []struct {
		name, home, cap string
		prepare         []string
		code            int
	}{
		{name: "a typo in the cap", home: "bob", cap: cap[:len(cap)-30] + "!" + cap[len(cap)-29:], code: 2},
		{name: "a stranger at a grid that asks a price", home: "nobody", cap: cap, code: 6},
		{name: "a revoked client", home: "bob", cap: cap, prepare: []string{"grid", "revoke", "bob"}, code: 6},
	}
	for _, tc := range cases {
		if tc.prepare != nil {
			if _, err := c.Run(ctx, "beta-manager", tc.prepare...); err != nil {
				return fmt.Errorf("%s: %w", tc.name, err)
			}
		}
		out := filepath.Join(c.Dir, "refused.out")
		_, err := c.RunIn(ctx, tc.home, strings.NewReader(tc.cap), "get", "-", "-o", out)
		// What changed a moment ago is known to every node that is connected within a minute.
		for wait := time.Now().Add(time.Minute); tc.prepare != nil && err == nil && time.Now().Before(wait); {
			time.Sleep(time.Second)
			if err := os.Remove(out); err != nil {
				return err
			}
			_, err = c.RunIn(ctx, tc.home, strings.NewReader(tc.cap), "get", "-", "-o", out)
		}
		var exit *trunktest.ExitError
		if !errors.As(err, &exit) || exit.Code != tc.code {
			return fmt.Errorf("%s: want exit code %d, got %w", tc.name, tc.code, err)
		}
		if strings.Contains(exit.Stderr, cap[len(cap)-60:]) {
			return fmt.Errorf("%s: the error repeats the cap", tc.name)
		}
		if left, _ := filepath.Glob(out + "*"); len(left) > 0 {
			return fmt.Errorf("%s: left %v behind", tc.name, left)
		}
		step("%s: exit code %d, %s", tc.name, exit.Code, strings.TrimSpace(exit.Stderr))
	}
	return nil
}
