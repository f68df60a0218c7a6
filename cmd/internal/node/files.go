package node

import (
	"context"
	"io"
	"time"

	"trunkline/caps"
	"trunkline/grid/client"
	"trunkline/grid/transfer"
	"trunkline/grid/tree"
)

// Tree is the directories that this client reads and changes.
func (c *Client) Tree() *tree.Tree {
	return tree.New(tree.Config{Files: c.Files(), Format: c.cfg.Client.mutableKind(), Logger: c.log, Now: time.Now})
}

// Files are the files that directories are made of. What is written goes to servers that are still of the grid; what
// could not be read is tried again where a newer roster names others.
func (c *Client) Files() tree.Files { return files{c, c.lib} }

type files struct {
	*Client
	lib *client.Client
}

var _ tree.Files = files{}

func (f files) Home() caps.AreaCode { return f.lib.Home() }

func (f files) Read(ctx context.Context, c caps.Cap, begin func(size uint64) (offset, length uint64, w io.Writer, err error)) error {
	used := f.rosterNumber()
	begun := false
	err := f.lib.Read(ctx, c, func(size uint64) (uint64, uint64, io.Writer, error) {
		begun = true
		return begin(size)
	})
	if err != nil && !begun && f.newerRoster(ctx, used) {
		err = f.lib.Read(ctx, c, begin)
	}
	return f.explain(err)
}

func (f files) PutImmutable(ctx context.Context, src io.ReaderAt, size uint64) (caps.Cap, error) {
	f.freshen(ctx)
	c, err := f.lib.PutImmutable(ctx, src, size)
	return c, f.explain(err)
}

func (f files) CreateMutable(ctx context.Context, kind caps.Kind, privateKey []byte, contents func(caps.WriteKey) (io.ReaderAt, uint64, error)) (caps.Cap, error) {
	f.freshen(ctx)
	c, err := f.lib.CreateMutable(ctx, kind, privateKey, contents)
	return c, f.explain(err)
}

func (f files) Overwrite(ctx context.Context, write caps.Cap, src io.ReaderAt, size uint64) error {
	f.freshen(ctx)
	return f.explain(f.lib.Overwrite(ctx, write, src, size))
}

func (f files) WriteAt(ctx context.Context, write caps.Cap, src io.ReaderAt, offset, size uint64) error {
	f.freshen(ctx)
	return f.explain(f.lib.WriteAt(ctx, write, src, offset, size))
}

func (f files) Modify(ctx context.Context, write caps.Cap, fn func([]byte) ([]byte, error)) error {
	f.freshen(ctx)
	return f.explain(f.lib.Modify(ctx, write, fn))
}

func (f files) Check(ctx context.Context, c caps.Cap, verify, addLease bool) (transfer.Health, error) {
	f.freshen(ctx)
	h, err := f.lib.Check(ctx, c, verify, addLease)
	return h, f.explain(err)
}

func (f files) Repair(ctx context.Context, c caps.Cap, verify, addLease bool) (before, after transfer.Health, err error) {
	f.freshen(ctx)
	before, after, err = f.lib.Repair(ctx, c, verify, addLease)
	return before, after, f.explain(err)
}
