package tree

import (
	"context"
	"io"

	"trunkline/caps"
	"trunkline/grid/transfer"
)

// Files stores and reads files, in the home grid and in others. grid/client's Client is one, and treetest.Memory.
//
// Caps come with their areas: one without belongs to the home grid, and those that are made are of the home grid, whether
// they name it or not. A directory's cap stands for the file in which the directory is kept. All methods are safe for
// concurrent use and return soon after ctx ends. What a read across grids may cost is settled by whoever makes the Files.
type Files interface {
	// Home is the area of the home grid; zero without one.
	Home() caps.AreaCode

	// Read opens any readable cap and calls begin once, with the size of the version that it found. begin says which range
	// of it is wanted, within the size, and where to; length 0 is none, and w may be nil then. Its error ends the call and
	// is returned. All that is written is verified, in order, and of that one version.
	Read(ctx context.Context, c caps.Cap, begin func(size uint64) (offset, length uint64, w io.Writer, err error)) error

	// PutImmutable stores a file of the home grid, as literal cap if it is short, and returns its read cap.
	PutImmutable(ctx context.Context, src io.ReaderAt, size uint64) (caps.Cap, error)
	// CreateMutable makes a mutable file in the home grid and returns its write cap, of that kind: caps.KindSDMF or
	// caps.KindMDMF. privateKey is the key to make it with (PKCS#8 DER, RSA-2048), nil for a new one. contents is called
	// with the write key that the file will have, and says what to store.
	CreateMutable(ctx context.Context, kind caps.Kind, privateKey []byte, contents func(caps.WriteKey) (src io.ReaderAt, size uint64, err error)) (caps.Cap, error)
	// Overwrite replaces the contents of a mutable file of the home grid.
	Overwrite(ctx context.Context, write caps.Cap, src io.ReaderAt, size uint64) error
	// WriteAt overwrites a part of a mutable file of the home grid, or extends it.
	WriteAt(ctx context.Context, write caps.Cap, src io.ReaderAt, offset, size uint64) error
	// Modify replaces the contents of a mutable file of the home grid by what fn makes of them: nobody's change in between
	// is lost. fn may be called again, with newer contents; its error ends the call and is returned. If fn returns what it
	// was given, nothing needs to be written. fn owns neither slice afterwards.
	Modify(ctx context.Context, write caps.Cap, fn func(old []byte) ([]byte, error)) error

	// Check asks the servers of the home grid for the shares of a file, by any cap that has a verify cap. verify reads all
	// of them, addLease renews the caller's leases.
	Check(ctx context.Context, c caps.Cap, verify, addLease bool) (transfer.Health, error)
	// Repair checks, and if the file is not healthy makes it so as far as can be. A repair was attempted unless before is
	// healthy; after equals before then. An error with a before that has no Cap is the check's, else the repair's. An
	// immutable file needs a verify cap, a mutable one its write cap.
	Repair(ctx context.Context, c caps.Cap, verify, addLease bool) (before, after transfer.Health, err error)
}
