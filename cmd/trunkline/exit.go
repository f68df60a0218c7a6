package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"trunkline/cmd/internal/node"
	"trunkline/grid/longdistance"
)

// Exit codes. New ones may be added; a code not listed means failure.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDegraded    = 4
	exitTemporary   = 5
	exitRefused     = 6
	exitPayment     = 7
	exitIntegrity   = 8
	exitBusy        = 9
	exitNotRunning  = 10
	exitVersion     = 11
	exitConflict    = 12
	exitDeadline    = 124
	exitInterrupted = 130
)

var exitMeanings = []struct {
	Code    int    `json:"code"`
	Meaning string `json:"meaning"`
}{
	{exitOK, "done"},
	{exitFailure, "failed for another reason"},
	{exitUsage, "the command line, or a cap or code given on it, can't be understood"},
	{exitNotFound, "not found: no such file, directory, alias, area or member"},
	{exitDegraded, "partial: some of it failed, or the result is worse than asked for, or a file is not healthy"},
	{exitTemporary, "temporary: too few servers, nobody answered, no room; trying again may help"},
	{exitRefused, "refused: not approved, revoked, expired, or against a policy such as the price ceiling"},
	{exitPayment, "payment needed, or the credit is used up"},
	{exitIntegrity, "integrity: what came did not match its hashes or signatures"},
	{exitBusy, "busy: another process holds it"},
	{exitNotRunning, "no node here, or it is not running"},
	{exitVersion, "made by a newer version"},
	{exitConflict, "conflict: something is there already, or somebody else changed it at the same time"},
	{exitDeadline, "a deadline passed"},
	{exitInterrupted, "interrupted"},
}

var (
	errInterrupted = errors.New("interrupted")
	// errSilent: the command has said already what is wrong; only the exit code is left.
	errSilent = errors.New("already reported")
)

func (a *app) exitCodesCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "exit-codes",
		Short:   "List what the exit codes mean",
		Example: "  trunkline exit-codes\n  trunkline exit-codes --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.print(exitMeanings, func(w io.Writer) {
				for _, e := range exitMeanings {
					fmt.Fprintf(w, "%3d  %s\n", e.Code, e.Meaning)
				}
			})
		},
	}
}

// describe turns an error into one sentence and, where there is one, the next step.
func describe(err error) (text, hint string) {
	text = mostTelling(err)
	if head, excerpt, ok := strings.Cut(text, "\n"); ok && errors.Is(err, node.ErrConfig) {
		text = sentence(head) + "\n" + excerpt
	} else {
		text = sentence(text)
	}
	var usage *usageError
	var control *node.ControlError
	switch {
	case errors.As(err, &control):
		hint = control.Hint
	case errors.As(err, &usage) && usage.cmd != "":
		hint = fmt.Sprintf("%q shows how it is used", usage.cmd+" --help")
	case errors.Is(err, errInterrupted):
		text = "interrupted"
	case errors.Is(err, context.DeadlineExceeded) && text == context.DeadlineExceeded.Error():
		text = "nobody answered in time"
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
	default:
		for _, r := range rules {
			if !r.is(err) {
				continue
			}
			if r.text != "" {
				text = r.text
			}
			return text, r.hint
		}
	}
	return text, hint
}

// mostTelling is the text of the error that says most, where several nodes were tried and each failed in its way.
func mostTelling(err error) string {
	var failed *longdistance.FailedError
	if errors.As(err, &failed) && len(failed.Attempts) > 1 {
		best := errors.Unwrap(failed)
		for _, a := range failed.Attempts {
			if a.Err == best { //nolint:errorlint // this very one
				telling := fmt.Sprintf("%s (%d attempts in all)", sentence(a.String()), len(failed.Attempts))
				return strings.Replace(err.Error(), failed.Error(), telling, 1)
			}
		}
	}
	return err.Error()
}

func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	}
	for _, r := range rules {
		if r.is(err) {
			return r.code(err)
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return exitDeadline
	case errors.Is(err, os.ErrNotExist):
		return exitNotFound
	}
	return exitFailure
}
