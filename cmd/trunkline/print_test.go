package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
)

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A result that could not be written is no success: the cap that put prints is all that opens the file.
func TestPrintToFullDisk(t *testing.T) {
	t.Parallel()
	for name, asJSON := range map[string]bool{"text": false, "json": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &app{stdout: fullDisk{}, json: asJSON}
			err := a.print("a cap", func(w io.Writer) { fmt.Fprintln(w, "a cap") })
			if !errors.Is(err, syscall.ENOSPC) || exitCode(err) != exitTemporary {
				t.Errorf("got %v, exit code %d", err, exitCode(err))
			}
		})
	}
}
