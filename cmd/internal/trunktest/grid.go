package trunktest

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// Grid is a manager, its servers, a gateway and a contact point, each a process of its own.
type Grid struct {
	Name    string
	Area    string
	Manager *Node
	Gateway *Node
	Contact *Node
	Servers []*Node
	c       *Cluster
}

const listen = "/ip4/127.0.0.1/tcp/0"

// Clearinghouse makes and starts a clearinghouse that admits every grid that asks.
func (c *Cluster) Clearinghouse(ctx context.Context, name string) (*Node, error) {
	if _, err := c.Run(ctx, name, "clearinghouse", "create", name, "--open", "--listen", listen); err != nil {
		return nil, err
	}
	return c.Start(ctx, name)
}

// Grid makes a grid, which may have no servers, starts its processes and, where house is not nil, joins the clearinghouse. price is what other
// grids pay per GiB.
func (c *Cluster) Grid(ctx context.Context, name string, servers int, house *Node, price string, serverConfig ...string) (*Grid, error) {
	g := &Grid{Name: name, c: c}
	manager := name + "-manager"
	var made struct {
		Area string `json:"area"`
	}
	if err := c.JSON(ctx, &made, manager, "grid", "create", name, "--listen", listen); err != nil {
		return nil, err
	}
	g.Area = made.Area
	var err error
	if g.Manager, err = c.Start(ctx, manager); err != nil {
		return nil, err
	}
	if house != nil {
		if _, err := c.Run(ctx, manager, "grid", "subscribe", house.Address); err != nil {
			return nil, err
		}
		if _, err := c.Run(ctx, manager, "grid", "tariff", "--export", "--per-gib", price); err != nil {
			return nil, err
		}
	}
	if g.Contact, err = g.join(ctx, name+"-contact", "contact"); err != nil {
		return nil, err
	}
	if g.Gateway, err = g.join(ctx, name+"-gateway", "gateway"); err != nil {
		return nil, err
	}
	if servers == 0 {
		return g, nil
	}
	ticket, err := g.ticket(ctx, "server", servers)
	if err != nil {
		return nil, err
	}
	g.Servers = make([]*Node, servers)
	errs := make([]error, servers)
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() {
			home := fmt.Sprintf("%s-server%d", name, i)
			args := append([]string{"join", "-", "--name", home, "--listen", listen}, serverConfig...)
			if _, errs[i] = c.RunIn(ctx, home, strings.NewReader(ticket), args...); errs[i] == nil {
				g.Servers[i], errs[i] = c.Start(ctx, home)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *Grid) ticket(ctx context.Context, role string, uses int) (string, error) {
	out, err := g.c.Run(ctx, g.Name+"-manager", "grid", "invite", "--role", role, "--uses", fmt.Sprint(uses))
	return strings.TrimSpace(string(out)), err
}

func (g *Grid) join(ctx context.Context, home, role string) (*Node, error) {
	if err := g.Client(ctx, home, role); err != nil {
		return nil, err
	}
	return g.c.Start(ctx, home)
}

// Client makes a node directory that joined the grid with one role; "client" needs no process.
func (g *Grid) Client(ctx context.Context, home, role string) error {
	ticket, err := g.ticket(ctx, role, 1)
	if err != nil {
		return err
	}
	_, err = g.c.RunIn(ctx, home, strings.NewReader(ticket), "join", "-", "--name", home, "--listen", listen)
	return err
}

// Nodes are all processes of the grid.
func (g *Grid) Nodes() []*Node {
	return append([]*Node{g.Manager, g.Gateway, g.Contact}, g.Servers...)
}
