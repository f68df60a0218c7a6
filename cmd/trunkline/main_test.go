package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"trunkline": scripted})
}

// recordVar names the directory where scripted leaves what the script's own commands look at.
const recordVar = "TRUNKLINE_TEST_RECORD"

// leakCode is the exit code of a command that was otherwise done but left a goroutine behind.
const leakCode = 99

// scripted is main as scripts run it. Everything that goes to standard error is kept too, for the checks at the end
// of a script; a foreground command leaves its exit code for the script's command "code"; and a goroutine that
// outlives run is a failure of its own.
func scripted() {
	record := os.Getenv(recordVar)
	if record == "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	log, err := os.OpenFile(filepath.Join(record, "stderr"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	code := run(os.Args[1:], os.Stdin, os.Stdout, io.MultiWriter(os.Stderr, log))
	// The read of standard input that ^C called off is left to end with the process.
	if err := goleak.Find(goleak.IgnoreAnyFunction("trunkline/cmd/trunkline.(*interruptible).fill.func1")); err != nil {
		fmt.Fprintln(io.MultiWriter(os.Stderr, log), "LEAK:", err)
		code = leakCode
	}
	if os.Getenv(backgroundVar) == "" {
		if err := os.WriteFile(filepath.Join(record, "code"), []byte(strconv.Itoa(code)), 0o600); err != nil {
			panic(err)
		}
	}
	os.Exit(code)
}
