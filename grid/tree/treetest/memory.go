// Package treetest keeps files in memory, for tests of what stands on a tree.
package treetest
