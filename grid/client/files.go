package client

import (
	"context"
	"fmt"
	"io"
	"slices"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// What follows is, with Home and Read, tree.Files: what stands there about these
// methods is not repeated. Whatever changes or checks files does so in the home
// grid alone and fails with ErrFar elsewhere.

// PutImmutable is Put without the details.
func (c *Client) PutImmutable(ctx context.Context, src io.ReaderAt, size uint64) (caps.Cap, error) {
	r, err := c.Put(ctx, src, size, nil)
	return r.Cap, err
}

// CreateMutable makes a mutable file in the home grid.
//
// Errors: ErrNoHome, ErrNoMutable; caps.ErrWrongKind; ssk.ErrKeys; contents's;
// mutable's.
func (c *Client) CreateMutable(ctx context.Context, kind caps.Kind, privateKey []byte, contents func(caps.WriteKey) (io.ReaderAt, uint64, error)) (caps.Cap, error) {
	files, err := c.mutable()
	if err != nil {
		return caps.Cap{}, err
	}
	format := ssk.SDMF
	switch kind {
	case caps.KindSDMF:
	case caps.KindMDMF:
		format = ssk.MDMF
	default:
		return caps.Cap{}, fmt.Errorf("a mutable file of kind %s: %w", kind, caps.ErrWrongKind)
	}
	var keys *ssk.Keys
	if privateKey != nil {
		keys, err = ssk.ParsePrivateKey(privateKey)
	} else {
		keys, err = files.NewKeys(ctx)
	}
	if err != nil {
		return caps.Cap{}, err
	}
	src, size, err := contents(keys.WriteKey())
	if err != nil {
		return caps.Cap{}, err
	}
	r, err := files.Create(ctx, format, keys, src, size)
	if err != nil {
		return caps.Cap{}, err
	}
	return c.withHome(r.Cap)
}

// Overwrite replaces the contents of a mutable file.
//
// Errors: ErrNoHome, ErrNoMutable, ErrFar, ErrReadOnly; mutable's.
func (c *Client) Overwrite(ctx context.Context, write caps.Cap, src io.ReaderAt, size uint64) error {
	files, local, err := c.writable(write)
	if err != nil {
		return err
	}
	_, err = files.Overwrite(ctx, local, src, size)
	return err
}

// WriteAt overwrites a part of a mutable file, or extends it.
//
// Errors: as for Overwrite.
func (c *Client) WriteAt(ctx context.Context, write caps.Cap, src io.ReaderAt, offset, size uint64) error {
	files, local, err := c.writable(write)
	if err != nil {
		return err
	}
	_, err = files.WriteAt(ctx, local, src, offset, size)
	return err
}

// Modify replaces the contents of a mutable file by what fn makes of them.
//
// Errors: as for Overwrite; fn's.
func (c *Client) Modify(ctx context.Context, write caps.Cap, fn func(old []byte) ([]byte, error)) error {
	files, local, err := c.writable(write)
	if err != nil {
		return err
	}
	_, err = files.Modify(ctx, local, fn)
	return err
}

// Check looks for the shares of a file.
//
// Errors: ErrNoHome, ErrNoMutable, ErrFar; ErrNotFile for a cap without shares;
// ctx's.
func (c *Client) Check(ctx context.Context, target caps.Cap, verify, addLease bool) (transfer.Health, error) {
	if err := c.atHome(target); err != nil {
		return transfer.Health{}, err
	}
	if v, ok := target.MutableVerify(); ok {
		files, err := c.mutable()
		if err != nil {
			return transfer.Health{}, err
		}
		return files.Check(ctx, v, c.checkOptions(verify, addLease))
	}
	v, ok := target.CHKVerify()
	if !ok {
		return transfer.Health{}, fmt.Errorf("%s: %w", target.Kind(), ErrNotFile)
	}
	return transfer.Check(ctx, c.reading(), v, c.checkOptions(verify, addLease))
}

// Repair checks a file and puts back the shares that are missing or corrupt.
//
// Errors: as for Check; ErrReadOnly for a mutable file without its write cap;
// transfer's and mutable's.
func (c *Client) Repair(ctx context.Context, target caps.Cap, verify, addLease bool) (before, after transfer.Health, err error) {
	if err := c.atHome(target); err != nil {
		return before, after, err
	}
	if _, ok := target.MutableVerify(); ok {
		files, local, err := c.writable(target)
		if err != nil {
			return before, after, err
		}
		return files.Repair(ctx, local, c.checkOptions(verify, addLease))
	}
	v, ok := target.CHKVerify()
	if !ok {
		return before, after, fmt.Errorf("%s: %w", target.Kind(), ErrNotFile)
	}
	result, err := transfer.Repair(ctx, c.reading(), c.uploading(nil), v, c.checkOptions(verify, addLease))
	return result.Before, result.After, err
}

func (c *Client) checkOptions(verify, addLease bool) mutable.CheckOptions {
	o := mutable.CheckOptions{Verify: verify}
	if addLease {
		o.AddLease = &c.config.LeaseSecret
	}
	return o
}

// atHome says whether a file belongs to the home grid.
func (c *Client) atHome(target caps.Cap) error {
	areas := target.Areas()
	switch {
	case len(areas) > 0 && !slices.Contains(areas, c.config.Home):
		return ErrFar
	case c.config.Servers == nil:
		return ErrNoHome
	}
	return nil
}

// mutable returns the home grid's mutable files.
func (c *Client) mutable() (*mutable.Files, error) {
	if c.config.Servers == nil {
		return nil, ErrNoHome
	}
	if c.config.Mutable == nil {
		return nil, ErrNoMutable
	}
	return c.config.Mutable, nil
}

// writable returns the cap with which a file of the home grid is changed.
func (c *Client) writable(write caps.Cap) (*mutable.Files, caps.Cap, error) {
	if err := c.atHome(write); err != nil {
		return nil, caps.Cap{}, err
	}
	files, err := c.mutable()
	if err != nil {
		return nil, caps.Cap{}, err
	}
	if _, ok := write.WriteKey(); !ok {
		return nil, caps.Cap{}, fmt.Errorf("%s: %w", write.Kind(), ErrReadOnly)
	}
	if file, ok := write.File(); ok {
		write = file
	}
	return files, write.Local(), nil
}
