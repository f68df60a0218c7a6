package tree

import (
	"slices"

	"trunkline/caps"
)

// adopt gives the caps of a child the areas of its directory, if they name none.
func adopt(p caps.Pair, areas []caps.AreaCode) caps.Pair {
	return caps.Pair{Write: adoptCap(p.Write, areas), Read: adoptCap(p.Read, areas)}
}

func adoptCap(c caps.Cap, areas []caps.AreaCode) caps.Cap {
	// A literal is where its cap is. A literal directory is not where its children are.
	if len(areas) == 0 || c.IsZero() || c.IsLongDistance() || c.Kind() == caps.KindLiteral {
		return c
	}
	far, err := c.WithAreas(areas...)
	if err != nil {
		return c // of unknown kind, and not in the form of a URI
	}
	return far
}

// release takes from the caps of a child the areas in which its directory is anyhow.
func (t *Tree) release(p caps.Pair, directory []caps.AreaCode) caps.Pair {
	if len(directory) == 0 {
		directory = []caps.AreaCode{t.c.Files.Home()}
	}
	return caps.Pair{Write: releaseCap(p.Write, directory), Read: releaseCap(p.Read, directory)}
}

func releaseCap(c caps.Cap, directory []caps.AreaCode) caps.Cap {
	for _, a := range c.Areas() {
		if !slices.Contains(directory, a) {
			return c
		}
	}
	return c.Local()
}

// athome says whether an object with these areas is of the home grid.
func (t *Tree) athome(c caps.Cap) bool {
	return !c.IsLongDistance() || slices.Contains(c.Areas(), t.c.Files.Home())
}
