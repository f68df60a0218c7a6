// Package backup keeps snapshots of local folders in a grid.
//
// A snapshot is an immutable directory. It is linked as <target>/Archives/<time> and as
// <target>/Latest, where Tahoe-LAFS's backup command puts them. What a database of
// earlier backups knows to be unchanged is not sent again, and from time to time checked
// first, which renews its leases.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"trunkline/caps"
	"trunkline/cmd/internal/backupdb"
	"trunkline/cmd/internal/names"
	"trunkline/grid/dirnode"
	"trunkline/grid/transfer"
	"trunkline/grid/tree"
)

// Config says how to back up.
type Config struct {
	Tree *tree.Tree
	DB   *backupdb.DB
	// Exclude says which files and folders are left out, by their path below the folder
	// and their name. May be nil.
	Exclude func(path, name string) bool
	// IgnoreTimestamps sends every file, for when the clock or the disk lied. Directories
	// come out the same if their files do.
	IgnoreTimestamps bool
	// DryRun only finds out what would be sent.
	DryRun bool
	// Now is the clock, Roll a number from 0 to 1 that spreads checks over days.
	Now  func() time.Time
	Roll func() float64
	// Workers is how many files are sent at once. Default 4.
	Workers int
	// Event is told what happens to each file and directory. May be nil. Calls may come
	// from any goroutine.
	Event func(Event)
}

// What happened to a file or directory.
type What string

// The kinds of event.
const (
	Sent    What = "sent"    // it was stored, or would have been
	Reused  What = "reused"  // it is stored already
	Skipped What = "skipped" // it could not be read, or is neither file nor folder
	Left    What = "left"    // it was left out as told
)

// Event is one file or directory.
type Event struct {
	What      What
	Path      string
	Directory bool
	Bytes     uint64
	// Err says why it was skipped.
	Err error
}

// Report counts events.
type Report struct {
	Files       Counts `json:"files"`
	Directories Counts `json:"directories"`
	// BytesSent is what was sent, BytesReused what was not.
	BytesSent   uint64 `json:"bytes_sent"`
	BytesReused uint64 `json:"bytes_reused"`
	// Checked is how many remembered things were checked and had their leases renewed.
	Checked int `json:"checked"`
	// Archive is the name of the new snapshot under Archives; empty for a dry run.
	Archive string `json:"archive,omitempty"`
}

// Counts are of files or of directories.
type Counts struct {
	Sent    int `json:"sent"`
	Reused  int `json:"reused"`
	Skipped int `json:"skipped"`
	Left    int `json:"left_out"`
}

// ErrSkipped: why something was not backed up.
var ErrSkipped = errors.New("it was not backed up")

// Run backs a folder up into a directory of the home grid, the one at path below root,
// which is made where it is missing.
//
// Errors: the folder's own; tree's; backupdb.ErrDatabase.
func Run(ctx context.Context, c Config, folder string, root caps.Cap, path []string) (Report, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return Report{}, err
	}
	// What it leads to is backed up, under the path that does not depend on links.
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return Report{}, err
	}
	info, err := os.Stat(folder)
	if err != nil {
		return Report{}, err
	}
	if !info.IsDir() {
		return Report{}, &fs.PathError{Op: "backup", Path: folder, Err: errors.New("it is not a folder")}
	}
	if c.Workers <= 0 {
		c.Workers = 4
	}
	b := &backup{Config: c, folder: folder}
	var archives tree.Node
	if !c.DryRun {
		// First of all, so that nothing is sent for a target that can't be written to.
		if archives, err = c.Tree.MkdirAll(ctx, root, append(append([]string(nil), path...), "Archives"), caps.KindUnknown); err != nil {
			return Report{}, fmt.Errorf("making the target directory: %w", err)
		}
	}
	top, _, err := b.directory(ctx, folder, info)
	if err != nil || c.DryRun {
		return b.report, err
	}
	snapshot := tree.NodeOf(top).Pair
	if b.report.Archive, err = b.archive(ctx, archives.Cap(), snapshot); err != nil {
		return b.report, fmt.Errorf("linking the snapshot: %w", err)
	}
	target, err := c.Tree.Resolve(ctx, root, path)
	if err == nil {
		_, err = c.Tree.Link(ctx, target.Cap(), tree.NewChild{Name: "Latest", Pair: snapshot}, tree.ReplaceAlways)
	}
	if err != nil {
		return b.report, fmt.Errorf("linking the snapshot as Latest: %w", err)
	}
	return b.report, nil
}

// sameSecond is how many snapshots of one second find a name.
const sameSecond = 100

// archive links the snapshot under the time, and a number if there is another of that second.
func (b *backup) archive(ctx context.Context, archives caps.Cap, snapshot caps.Pair) (name string, err error) {
	second := b.Now().UTC().Format("2006-01-02_15:04:05Z")
	for i := range sameSecond {
		name = second
		if i > 0 {
			name = fmt.Sprintf("%s-%d", second, i+1)
		}
		_, err = b.Tree.Link(ctx, archives, tree.NewChild{Name: name, Pair: snapshot}, tree.ReplaceNever)
		if !errors.Is(err, tree.ErrExists) {
			return name, err
		}
	}
	return name, err
}

type backup struct {
	Config
	folder string

	mu     sync.Mutex
	report Report
}

func (b *backup) event(e Event) {
	b.mu.Lock()
	counts := &b.report.Files
	if e.Directory {
		counts = &b.report.Directories
	}
	switch e.What {
	case Sent:
		counts.Sent++
		b.report.BytesSent += e.Bytes
	case Reused:
		counts.Reused++
		b.report.BytesReused += e.Bytes
	case Skipped:
		counts.Skipped++
	case Left:
		counts.Left++
	}
	b.mu.Unlock()
	if b.Event != nil {
		b.Event(e)
	}
}

func (b *backup) skip(path string, directory bool, err error) {
	b.event(Event{What: Skipped, Path: path, Directory: directory, Err: err})
}

// child is what becomes of one entry of a folder.
type child struct {
	name string
	cap  caps.Cap
	info fs.FileInfo
	// fresh says that a dry run can't know its cap.
	fresh bool
}

// directory backs a folder up; fresh says that in a dry run it would be made.
func (b *backup) directory(ctx context.Context, path string, info fs.FileInfo) (c caps.Cap, fresh bool, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		if path == b.folder {
			return c, false, err
		}
		b.skip(path, true, err)
		return c, false, nil
	}
	children := make([]child, len(entries))
	var files, folders []int
	for i, e := range entries {
		full := filepath.Join(path, e.Name())
		below, err := filepath.Rel(b.folder, full)
		if err != nil {
			return c, false, err
		}
		if b.Exclude != nil && b.Exclude(filepath.ToSlash(below), e.Name()) {
			b.event(Event{What: Left, Path: full, Directory: e.IsDir()})
			continue
		}
		info, err := e.Info()
		switch {
		case err != nil:
			b.skip(full, e.IsDir(), err)
		case !utf8.ValidString(e.Name()):
			b.skip(path+"/"+names.Show(e.Name()), e.IsDir(), fmt.Errorf("%w: its name is not UTF-8", ErrSkipped))
		case info.Mode().IsRegular():
			children[i] = child{name: e.Name(), info: info}
			files = append(files, i)
		case info.IsDir():
			children[i] = child{name: e.Name(), info: info}
			folders = append(folders, i)
		case info.Mode()&fs.ModeSymlink != 0:
			b.skip(full, false, fmt.Errorf("%w: it is a symbolic link", ErrSkipped))
		default:
			b.skip(full, false, fmt.Errorf("%w: it is a device, pipe or socket", ErrSkipped))
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.Workers)
	for _, i := range files {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() (err error) {
			children[i].cap, children[i].fresh, err = b.file(gctx, filepath.Join(path, children[i].name))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return c, false, err
	}
	for _, i := range folders {
		full := filepath.Join(path, children[i].name)
		if children[i].cap, children[i].fresh, err = b.directory(ctx, full, children[i].info); err != nil {
			return c, false, err
		}
	}
	return b.makeDirectory(ctx, path, children)
}

// makeDirectory finds the directory with these children, or makes it. Those without a cap
// were skipped.
func (b *backup) makeDirectory(ctx context.Context, path string, children []child) (c caps.Cap, fresh bool, err error) {
	var entries []backupdb.Entry
	var links []tree.NewChild
	for _, child := range children {
		fresh = fresh || child.fresh
		if child.cap.IsZero() {
			continue
		}
		entries = append(entries, backupdb.Entry{Name: child.name, Cap: child.cap})
		meta, err := metadata(child.info)
		if err != nil {
			return c, false, fmt.Errorf("%s: %w", path, err)
		}
		links = append(links, tree.NewChild{Name: child.name, Pair: tree.NodeOf(child.cap).Pair, Metadata: &meta})
	}
	if fresh { // a dry run
		b.event(Event{What: Sent, Path: path, Directory: true})
		return c, true, nil
	}
	contents := backupdb.ContentsOf(entries)
	known, ok, err := b.DB.Directory(ctx, contents)
	if err == nil && ok {
		ok, err = b.good(ctx, known)
	}
	switch {
	case err != nil:
		return c, false, err
	case ok:
		b.event(Event{What: Reused, Path: path, Directory: true})
		return known.Cap, false, nil
	case b.DryRun:
		b.event(Event{What: Sent, Path: path, Directory: true})
		return c, true, nil
	}
	if c, err = b.Tree.MkdirImmutable(ctx, links); err != nil {
		return c, false, fmt.Errorf("%s: %w", path, err)
	}
	b.event(Event{What: Sent, Path: path, Directory: true})
	return c, false, b.DB.KeepDirectory(ctx, contents, c, b.Now())
}

// file finds the file as it was sent before, or sends it.
func (b *backup) file(ctx context.Context, path string) (c caps.Cap, fresh bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		b.skip(path, false, err)
		return c, false, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is no file any more", ErrSkipped)
	}
	if err != nil {
		b.skip(path, false, err)
		return c, false, nil
	}
	stat := statOf(info)
	if !b.IgnoreTimestamps {
		known, ok, err := b.DB.File(ctx, path, stat)
		if err == nil && ok {
			ok, err = b.good(ctx, known)
		}
		if err != nil {
			return c, false, err
		}
		if ok {
			b.event(Event{What: Reused, Path: path, Bytes: uint64(info.Size())})
			return known.Cap, false, nil
		}
	}
	if b.DryRun {
		b.event(Event{What: Sent, Path: path, Bytes: uint64(info.Size())})
		return c, true, nil
	}
	c, err = b.Tree.Files().PutImmutable(ctx, f, uint64(info.Size()))
	switch {
	case err == nil:
	case readFailed(err) && ctx.Err() == nil:
		b.skip(path, false, err)
		return caps.Cap{}, false, nil
	default:
		return caps.Cap{}, false, fmt.Errorf("%s: %w", path, err)
	}
	b.event(Event{What: Sent, Path: path, Bytes: uint64(info.Size())})
	// A file that was written to meanwhile is looked at again next time.
	if after, err := os.Stat(path); err != nil || statOf(after) != stat {
		return c, false, nil //nolint:nilerr // it is stored as it was read
	}
	return c, false, b.DB.KeepFile(ctx, path, stat, c, b.Now())
}

// readFailed tells a file that could not be read to its end from a grid that did not
// take it.
func readFailed(err error) bool {
	var disk *fs.PathError
	return errors.As(err, &disk) || errors.Is(err, transfer.ErrSourceChanged)
}

// good says whether what the database remembers can be relied on. Where that is due it
// is checked, and its leases are renewed.
func (b *backup) good(ctx context.Context, k backupdb.Known) (bool, error) {
	now := b.Now()
	if b.DryRun || !k.Due(now, b.Roll()) {
		return true, nil
	}
	found, err := b.Tree.Check(ctx, tree.NodeOf(k.Cap), tree.CheckOptions{AddLease: true})
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	// Of what can't be checked nobody knows that it is there.
	if err != nil || !found.Literal && !found.After.Healthy() {
		return false, nil
	}
	b.mu.Lock()
	b.report.Checked++
	b.mu.Unlock()
	return true, b.DB.KeepChecked(ctx, k.Cap, now)
}

// seconds is a time as Tahoe-LAFS writes it in metadata.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// metadata is what is kept about a file beside its contents.
func metadata(info fs.FileInfo) (dirnode.Metadata, error) {
	return dirnode.ParseMetadata(statMetadata(info))
}
