//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package storage

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openNonblock keeps the opening of a pipe that someone put among the shares from waiting for ever.
const openNonblock = unix.O_NONBLOCK

// freeBytes returns what an ordinary user can still write to the file system that holds f.
func freeBytes(f *os.File) (uint64, bool) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil { //nolint:gosec // a descriptor is a small number
		return 0, false
	}
	return uint64(max(st.Bavail, 0)) * uint64(st.Bsize), true //nolint:gosec,unconvert // signedness and width differ between systems
}

// lockFile takes the lock of f or fails with ErrLocked. It goes when f is closed or the process dies.
func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a descriptor is a small number
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// isFull reports whether err means that the disk or the quota is full.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
