//go:build !linux

package tahoetest

import "syscall"

func attached() *syscall.SysProcAttr { return nil }

// Alone is for Linux: elsewhere the tests stay where they are.
func Alone() (code int, done bool, err error) { return 0, false, nil }
