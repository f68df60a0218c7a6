//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package storage

import (
	"errors"
	"os"
	"syscall"
)

const openNonblock = 0

// freeBytes is not known here: only the configured maximum bounds the store.
func freeBytes(*os.File) (uint64, bool) { return 0, false }

// lockFile does nothing where there is no flock: the operator sees to it that one process runs.
func lockFile(*os.File) error { return nil }

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
