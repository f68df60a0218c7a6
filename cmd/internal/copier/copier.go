// Package copier copies files and directories between this machine and grids.
//
// One thing that can't be read, or whose name is none, does not keep the others from
// being copied: it is a Problem of the result. What can't be written ends the copy.
package copier

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"trunkline/cmd/internal/names"
	"trunkline/grid/tree"
)

// Config makes a Copier.
type Config struct {
	Tree *tree.Tree
	// Workers is how many files are copied at once. Default 4.
	Workers int
	// EscapeNames gives local files the names that names.Escaped makes. Otherwise an
	// entry whose name no local file can have is a Problem.
	EscapeNames bool
	// Done is called after each file, with its size. May be nil. Calls may come from any
	// goroutine.
	Done func(bytes uint64)
}

// Problem is something that was not copied.
type Problem struct {
	// Path is where it is, fit to be shown.
	Path string
	Err  error
}

func (p Problem) Error() string { return p.Path + ": " + p.Err.Error() }

// Result is what a copy did.
type Result struct {
	Files       int
	Directories int
	Bytes       uint64
	// Linked is how many of the files needed no copying, as they are in the grid already.
	Linked   int
	Problems []Problem
}

var (
	// ErrDirectory: a directory was to be copied by a Copier that was told to copy files.
	ErrDirectory = errors.New("this is a directory")
	// ErrInTheWay: a directory is where a file is to be written, or the reverse.
	ErrInTheWay = errors.New("something of another type is in its place")
	// ErrInsideItself: a directory leads to itself.
	ErrInsideItself = errors.New("this directory is inside itself")
	// ErrDeep: directories are nested too deep.
	ErrDeep = fmt.Errorf("directories are nested more than %d deep", maxDepth)
	// ErrType: what is neither file nor directory.
	ErrType = errors.New("this is neither a file nor a directory")
	// ErrEncoding: a local name that is not UTF-8.
	ErrEncoding = errors.New("the name is not UTF-8")
	// ErrUnreadable: nothing is known of an entry but its name.
	ErrUnreadable = errors.New("this entry of the directory can't be used")
)

// maxDepth bounds how deep directories are followed, which may be nested without end.
const maxDepth = 200

// copying is one copy that goes on.
type copying struct {
	Config
	mu     sync.Mutex
	result Result
}

func start(c Config) *copying {
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if c.Done == nil {
		c.Done = func(uint64) {}
	}
	return &copying{Config: c}
}

func (c *copying) problem(path string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Problems = append(c.result.Problems, Problem{path, err})
}

func (c *copying) file(bytes uint64, linked bool) {
	c.mu.Lock()
	c.result.Files++
	c.result.Bytes += bytes
	if linked {
		c.result.Linked++
	}
	c.mu.Unlock()
	c.Done(bytes)
}

func (c *copying) directory() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Directories++
}

// parallel calls f for each of the items, Workers at a time, until one fails.
func parallel[T any](ctx context.Context, workers int, items []T, f func(context.Context, T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, item := range items {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(ctx, item) })
	}
	return g.Wait()
}

// sourceError is a failure to read what is copied.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// settle makes a Problem of a failure to read, and returns any other.
func (c *copying) settle(ctx context.Context, path string, err error) error {
	var bad *sourceError
	if err == nil || !errors.As(err, &bad) || ctx.Err() != nil {
		return err
	}
	c.problem(path, bad.err)
	return nil
}

// join adds a name to a shown path.
func join(path, name string) string {
	if path == "" || path[len(path)-1] == '/' || path[len(path)-1] == ':' {
		return path + names.Show(name)
	}
	return path + "/" + names.Show(name)
}
