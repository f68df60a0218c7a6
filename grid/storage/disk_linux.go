package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWriting asks the disk to begin with what the system holds of f. It promises nothing: only Sync does.
func beginWriting(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) //nolint:gosec // a descriptor is a small number
}
