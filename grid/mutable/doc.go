// Package mutable reads and writes mutable files on the storage servers of one grid.
package mutable
