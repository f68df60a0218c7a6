package tahoetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideVariable marks the process that runs in the namespace.
const insideVariable = "TRUNKLINE_TAHOETEST_INSIDE"

// attached lets a node end with the tests, however they end.
func attached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// Alone runs this program again in a network namespace that has nothing but loopback: every Tahoe node opens a log
// port on all addresses, which nothing can switch off. It says whether it did, and then the exit code. That takes root;
// others stay where they are.
func Alone() (code int, done bool, err error) {
	if os.Getenv(insideVariable) != "" {
		return 0, false, loopbackUp()
	}
	if os.Getuid() != 0 {
		return 0, false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return 0, false, fmt.Errorf("looking for this program: %w", err)
	}
	cmd := exec.Command(self, os.Args[1:]...) //nolint:gosec,noctx // this program, as long as it takes
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, true, nil
	case errors.As(err, &exit):
		return exit.ExitCode(), true, nil
	case errors.Is(err, syscall.EPERM):
		return 0, false, nil // a container that may not make namespaces
	}
	return 0, false, fmt.Errorf("running in a namespace: %w", err)
}

// loopbackUp switches the interface lo on.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("switching loopback on: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("switching loopback on: %w", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("switching loopback on: %w", err)
	}
	return nil
}
