package copier

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"trunkline/caps"
	"trunkline/grid/dirnode"
	"trunkline/grid/tree"
)

// Into copies a source into a directory of the home grid, under a name. A directory goes
// into one that is there, and replaces files of the same names in it. What is there and
// can be changed is overwritten in place.
//
// now is when the links are made. Errors: tree's; ErrInTheWay.
func Into(ctx context.Context, cfg Config, s Source, dir caps.Cap, name string, now time.Time) (Result, error) {
	c := start(cfg)
	listing, err := c.Tree.List(ctx, dir)
	if err != nil {
		return c.result, err
	}
	up := &upload{copying: c, now: now}
	err = up.into(ctx, []named{{name, s}}, dir, listing, nil)
	return c.result, err
}

// IntoAs copies what is in a directory into another.
func IntoAs(ctx context.Context, cfg Config, s Source, dir caps.Cap, now time.Time) (Result, error) {
	c := start(cfg)
	up := &upload{copying: c, now: now}
	err := up.merge(ctx, s, dir, nil)
	return c.result, c.settle(ctx, s.shown(), err)
}

// Over overwrites a mutable file with what a source holds.
func Over(ctx context.Context, cfg Config, s Source, write caps.Cap) (Result, error) {
	c := start(cfg)
	up := &upload{copying: c}
	err := up.overwrite(ctx, s, write)
	return c.result, c.settle(ctx, s.shown(), err)
}

type upload struct {
	*copying
	now time.Time
}

// merge copies the children of a directory into one that is there. above are the
// directories on the way to it.
func (u *upload) merge(ctx context.Context, s Source, dir caps.Cap, above []string) error {
	children, above, err := u.descend(ctx, s, above)
	if err != nil {
		return err
	}
	listing, err := u.Tree.List(ctx, dir)
	if err != nil {
		return err
	}
	u.directory()
	return u.into(ctx, children, dir, listing, above)
}

// descend lists a directory, unless it is one of those above.
func (u *upload) descend(ctx context.Context, s Source, above []string) ([]named, []string, error) {
	id := s.id()
	switch {
	case id != "" && slices.Contains(above, id):
		return nil, nil, &sourceError{ErrInsideItself}
	case len(above) >= maxDepth:
		return nil, nil, &sourceError{ErrDeep}
	}
	children, err := s.children(ctx, u.copying)
	return children, append(slices.Clone(above), id), err
}

// into links copies of the children in a directory that has listing.
func (u *upload) into(ctx context.Context, children []named, dir caps.Cap, listing tree.Listing, above []string) error {
	there := map[string]tree.Node{}
	for _, e := range listing.Children {
		there[e.Name] = e.Node
	}
	var fresh []named
	for _, child := range children {
		old, ok := there[child.name]
		switch {
		case !ok, old.Type() == tree.TypeUnknown && !child.isDir():
			fresh = append(fresh, child)
		case child.isDir() != (old.Type() == tree.TypeDirectory):
			u.problem(child.shown(), fmt.Errorf("%w (%s)", ErrInTheWay, old.Type()))
		case child.isDir():
			if err := u.settle(ctx, child.shown(), u.merge(ctx, child, old.Cap(), above)); err != nil {
				return err
			}
		case !old.WriteCap().IsZero():
			if err := u.settle(ctx, child.shown(), u.overwrite(ctx, child, old.WriteCap())); err != nil {
				return err
			}
		default:
			fresh = append(fresh, child)
		}
	}
	links, err := u.make(ctx, fresh, above)
	if err != nil || len(links) == 0 {
		return err
	}
	// What somebody else put there meanwhile stays if it is a directory.
	return u.Tree.LinkMany(ctx, dir, links, tree.ReplaceOnlyFiles)
}

func (u *upload) overwrite(ctx context.Context, s Source, write caps.Cap) error {
	in, err := s.open(ctx, u.Tree)
	if err != nil {
		return err
	}
	defer in.close()
	if err := u.Tree.Files().Overwrite(ctx, write, in, in.size); err != nil {
		return err
	}
	u.file(in.size, false)
	return nil
}

// make stores the children, which are nowhere yet: files side by side, then directories.
func (u *upload) make(ctx context.Context, children []named, above []string) ([]tree.NewChild, error) {
	links := make([]tree.NewChild, len(children))
	var files []int
	for i, child := range children {
		if !child.isDir() {
			files = append(files, i)
		}
	}
	err := parallel(ctx, u.Workers, files, func(ctx context.Context, i int) error {
		child := children[i]
		c, size, linked, err := child.put(ctx, u.Tree)
		if err != nil {
			return u.settle(ctx, child.shown(), err)
		}
		links[i] = tree.NewChild{Name: child.name, Pair: tree.NodeOf(c).Pair}
		u.file(size, linked)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, child := range children {
		if !child.isDir() {
			continue
		}
		c, err := u.build(ctx, child, above)
		if err := u.settle(ctx, child.shown(), err); err != nil {
			return nil, err
		}
		if !c.IsZero() {
			links[i] = tree.NewChild{Name: child.name, Pair: tree.NodeOf(c).Pair}
		}
	}
	return slices.DeleteFunc(links, func(l tree.NewChild) bool { return l.Pair.Read.IsZero() && l.Pair.Write.IsZero() }), nil
}

// build makes a new directory with everything below it, written once.
func (u *upload) build(ctx context.Context, s Source, above []string) (caps.Cap, error) {
	children, above, err := u.descend(ctx, s, above)
	if err != nil {
		return caps.Cap{}, err
	}
	links, err := u.make(ctx, children, above)
	if err != nil {
		return caps.Cap{}, err
	}
	meta, err := linkTimes(u.now)
	if err != nil {
		return caps.Cap{}, err
	}
	for i := range links {
		links[i].Metadata = &meta
	}
	c, err := u.Tree.MkdirWithChildren(ctx, caps.KindUnknown, links)
	if err == nil {
		u.directory()
	}
	return c, err
}

// linkTimes are the metadata that a link made now would have.
func linkTimes(now time.Time) (dirnode.Metadata, error) {
	t := float64(now.UnixMicro()) / 1e6
	text, err := json.Marshal(map[string]map[string]float64{"tahoe": {"linkcrtime": t, "linkmotime": t}})
	if err != nil {
		return dirnode.Metadata{}, err
	}
	return dirnode.ParseMetadata(text)
}
