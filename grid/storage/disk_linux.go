package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWriting asks the disk to begin with what the system holds of f. It promises nothing: only Sync does.
func beginWriting(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) //nolint:gosec // a descriptor is a small number
}

// systemCopy has the system copy n bytes at off, without moving them through this process, and without moving them at all
// where the file system can share them between files. It returns how many it copied.
func systemCopy(to, from *os.File, off, n uint64) (done uint64) {
	for done < n {
		r, w := int64(off+done), int64(off+done)                                                         //nolint:gosec // within a file
		got, err := unix.CopyFileRange(int(from.Fd()), &r, int(to.Fd()), &w, int(min(n-done, 1<<30)), 0) //nolint:gosec // a descriptor is a small number
		if err != nil || got <= 0 {
			return done
		}
		done += uint64(got)
	}
	return done
}
