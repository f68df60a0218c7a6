//go:build unix

package node

import (
	"os"
	"syscall"
)

func umask(mask int) int { return syscall.Umask(mask) }

func flock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
