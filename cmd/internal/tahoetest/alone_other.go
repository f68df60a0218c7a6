//go:build !linux

package tahoetest

import "syscall"

func attached() *syscall.SysProcAttr { return nil }

// alone is for Linux: elsewhere the tests stay where they are.
func alone() (code int, done bool, err error) { return 0, false, nil }
