package tree

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"trunkline/caps"
)

// Visit is a node that a walk comes to.
type Visit struct {
	// Path is the names from the root, for which it is empty. The caller owns it.
	Path []string
	Node Node
}

// Walker is told what a walk finds. Calls come from one goroutine, one after the other; an error ends the walk.
type Walker struct {
	// Node is called for each node. May be nil.
	Node func(Visit) error
	// Directory is called after Node for a directory that could be read, before its children. May be nil.
	Directory func(Visit, Listing) error
	// Unreadable is called after Node for a directory that could not be read. nil ends the walk with the error.
	Unreadable func(Visit, error) error
}

// Walk visits everything below root, depth first, root first; in a directory first the unknown children, then files, then
// directories, each by name. Of several links to one object the first is followed; literals and unknown nodes come every
// time. root may be a file.
//
// Errors: those of List, wrapped with the path; those of the Walker.
//
// Source: tahoe-formats 7.5.
func (t *Tree) Walk(ctx context.Context, root caps.Cap, w Walker) error {
	ctx, cancel := context.WithCancel(ctx)
	k := &walk{tree: t, ctx: ctx, walker: w, found: map[string]bool{}}
	defer k.readers.Wait()
	defer cancel()
	first := &stop{Visit: Visit{Node: NodeOf(root)}}
	k.isNew(first.Node)
	k.stack = append(k.stack, first)
	for len(k.stack) > 0 {
		next := k.stack[len(k.stack)-1]
		k.stack = k.stack[:len(k.stack)-1]
		if err := k.visit(next); err != nil {
			return err
		}
	}
	return nil
}

// walk is one walk.
type walk struct {
	tree    *Tree
	ctx     context.Context //nolint:containedctx // the walk lives no longer than the call whose it is
	walker  Walker
	found   map[string]bool // verify caps of what was visited or will be
	stack   []*stop         // what comes next, from the end
	readers sync.WaitGroup
	ahead   int // how many directories on the stack are being read, or have been
}

// stop is a directory, or the root, that will be visited.
type stop struct {
	Visit
	read chan reading // nil if nobody reads it yet
}

type reading struct {
	listing Listing
	err     error
}

// isNew says whether a node was not met before.
func (k *walk) isNew(n Node) bool {
	v, ok := n.VerifyCap()
	if !ok {
		return true
	}
	text := v.Local().Text()
	if k.found[text] {
		return false
	}
	k.found[text] = true
	return true
}

func (k *walk) visit(s *stop) error {
	if err := k.ctx.Err(); err != nil {
		return err
	}
	directory := s.Node.Type() == TypeDirectory
	if directory {
		k.readAhead(s)
	}
	if err := k.tell(s.Visit); err != nil || !directory {
		return err
	}
	r := <-s.read
	k.ahead--
	if r.err != nil {
		if err := k.ctx.Err(); err != nil {
			return err
		}
		if k.walker.Unreadable == nil {
			return atPath(s.Path, r.err)
		}
		return k.walker.Unreadable(s.Visit, r.err)
	}
	if k.walker.Directory != nil {
		if err := k.walker.Directory(s.Visit, r.listing); err != nil {
			return err
		}
	}
	return k.children(s, r.listing.Children)
}

func (k *walk) tell(v Visit) error {
	if k.walker.Node == nil {
		return nil
	}
	return k.walker.Node(v)
}

// children visits those that are no directories and puts the others on the stack.
func (k *walk) children(s *stop, children []Child) error {
	var files, directories []Visit
	for _, c := range children {
		below := Visit{Path: append(slices.Clip(slices.Clone(s.Path)), c.Name), Node: c.Node}
		switch c.Type() {
		case TypeUnknown:
			if err := k.tell(below); err != nil {
				return err
			}
		case TypeDirectory:
			if k.isNew(c.Node) {
				directories = append(directories, below)
			}
		case TypeFile:
			if k.isNew(c.Node) {
				files = append(files, below)
			}
		}
	}
	for _, f := range files {
		if err := k.tell(f); err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(directories) {
		k.stack = append(k.stack, &stop{Visit: d})
	}
	return nil
}

// readAhead has a directory read, and those that come next, as many as may be.
func (k *walk) readAhead(s *stop) {
	k.start(s)
	for _, next := range slices.Backward(k.stack) {
		if k.ahead >= k.tree.c.Ahead {
			return
		}
		k.start(next)
	}
}

func (k *walk) start(s *stop) {
	if s.read != nil {
		return
	}
	s.read = make(chan reading, 1)
	k.ahead++
	k.readers.Go(func() {
		listing, err := k.tree.List(k.ctx, s.Node.Cap())
		s.read <- reading{listing, err}
	})
}

// atPath is an error about what is at that path.
func atPath(path []string, err error) error {
	if len(path) == 0 {
		return err
	}
	for _, name := range slices.Backward(path[max(0, len(path)-maxNamed):]) {
		err = named(name, err)
	}
	if len(path) > maxNamed {
		err = fmt.Errorf("…: %w", err)
	}
	return err
}

// maxNamed is how many names of a path stand in an error.
const maxNamed = 8
