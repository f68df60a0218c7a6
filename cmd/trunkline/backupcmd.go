package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/backup"
	"trunkline/cmd/internal/backupdb"
	"trunkline/cmd/internal/names"
	"trunkline/cmd/internal/node"
)

func (a *app) backupCmd() *cobra.Command {
	var where whereFlags
	var exclude, excludeFrom []string
	var excludeVCS, dryRun, ignoreTimestamps, list bool
	cmd := &cobra.Command{
		Use:     "backup FOLDER TO",
		Short:   "Keep a snapshot of a folder, sending what changed",
		GroupID: "keep",
		Long: `Keep a snapshot of a folder: an immutable directory that is linked as TO/Archives/TIME and as TO/Latest. What
an earlier backup sent is not sent again while its size and times stay the same; now and then it is checked
and its leases are renewed. What was sent is remembered in private/backupdb.sqlite of the node directory, in
Tahoe-LAFS's form.

Symbolic links, devices, and what can't be read are told and left out, and the exit code is 4. Patterns
are the shell's; one with a slash is of paths below FOLDER, one without is of names anywhere.`,
		Example: "  trunkline backup ~/documents home:documents\n" +
			"  trunkline backup --exclude '*.o' --exclude-vcs ~/src home:src\n" +
			"  trunkline backup --dry-run ~/documents home:documents",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range excludeFrom {
				f, err := os.Open(name)
				if err != nil {
					return fmt.Errorf("reading patterns: %w", err)
				}
				more, err := backup.ReadPatterns(f)
				f.Close()
				if err != nil {
					return fmt.Errorf("reading patterns from %s: %w", name, err)
				}
				exclude = append(exclude, more...)
			}
			if excludeVCS {
				exclude = append(exclude, backup.VCS()...)
			}
			left, err := backup.Excludes(exclude)
			if err != nil {
				return &usageError{cmd: cmd.CommandPath(), err: err}
			}
			to, err := a.locate(args[1], where.options())
			if err != nil {
				return err
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			root, err := s.root(to)
			if err != nil {
				return err
			}
			h, err := a.home()
			if err != nil {
				return err
			}
			db, err := backupdb.Open(cmd.Context(), h.BackupDB())
			if err != nil {
				return err
			}
			report, err := s.backup(cmd, backup.Config{
				DB: db, Exclude: left, IgnoreTimestamps: ignoreTimestamps, DryRun: dryRun,
			}, args[0], backupTarget{root: root, path: to.Path}, list || dryRun)
			err = errors.Join(err, db.Close())
			if err != nil {
				return err
			}
			if err := a.print(report, func(w io.Writer) { writeBackup(w, report, dryRun) }); err != nil {
				return err
			}
			if n := report.Files.Skipped + report.Directories.Skipped; n > 0 {
				return fmt.Errorf("%w: %d files and directories were skipped", errPartly, n)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&exclude, "exclude", nil, "leave out what matches `PATTERN` (repeatable)")
	f.StringArrayVar(&excludeFrom, "exclude-from", nil, "leave out what matches the patterns in `FILE`, one a line (repeatable)")
	f.BoolVar(&excludeVCS, "exclude-vcs", false, "leave out what version control systems keep for themselves")
	f.BoolVar(&ignoreTimestamps, "ignore-timestamps", false, "read every file, also those that seem unchanged")
	f.BoolVar(&dryRun, "dry-run", false, "only say what would be sent")
	f.BoolVar(&list, "list", false, "list what is sent")
	where.addEscaped(f)
	return cmd
}

type backupTarget struct {
	root caps.Cap
	path []string
}

// backup runs a backup. list prints what is sent.
func (s *session) backup(cmd *cobra.Command, c backup.Config, folder string, to backupTarget, list bool) (backup.Report, error) {
	c.Tree, c.Now, c.Roll = s.tree, time.Now, rand.Float64
	var done atomic.Uint64
	lines := &safeWriter{w: s.stdout}
	if s.json {
		lines.w = io.Discard
	}
	bar := s.newProgress("backup", sizeOf(place{Location: alias.Location{Local: folder}}))
	c.Event = func(e backup.Event) {
		bar.set(done.Add(e.Bytes))
		path := names.Text(e.Path)
		switch {
		case e.What == backup.Skipped:
			s.warn(fmt.Sprintf("%s: %v", path, e.Err))
		case e.What == backup.Sent && list && !e.Directory:
			lines.line("%s", path)
		}
	}
	report, err := backup.Run(cmd.Context(), c, folder, to.root, to.path)
	bar.end(err == nil)
	return report, err
}

func writeBackup(w io.Writer, r backup.Report, dryRun bool) {
	verb := "sent"
	if dryRun {
		verb = "would be sent"
	}
	fmt.Fprintf(w, "files: %d %s (%d bytes), %d there already\n", r.Files.Sent, verb, r.BytesSent, r.Files.Reused)
	fmt.Fprintf(w, "directories: %d %s, %d there already\n", r.Directories.Sent, verb, r.Directories.Reused)
	if r.Checked > 0 {
		fmt.Fprintf(w, "%d were checked and their leases renewed\n", r.Checked)
	}
	if n := r.Files.Left + r.Directories.Left; n > 0 {
		fmt.Fprintf(w, "%d were left out\n", n)
	}
	if r.Archive != "" {
		fmt.Fprintf(w, "snapshot Archives/%s\n", r.Archive)
	}
}

// safeWriter writes whole lines from any goroutine.
type safeWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *safeWriter) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format+"\n", args...)
}
