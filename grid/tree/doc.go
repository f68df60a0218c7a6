// Package tree walks and changes directories.
//
// Directories form a graph rather than a tree: one may be linked in many places, and in itself. A child whose cap names no
// area belongs to the grid of its directory, so that a long-distance cap of a directory opens everything below it: caps
// that this package hands out have those areas, and those that it stores do not.
package tree
