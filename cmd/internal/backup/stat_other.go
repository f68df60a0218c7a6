//go:build !linux

package backup

import (
	"fmt"
	"io/fs"

	"trunkline/cmd/internal/backupdb"
)

// statOf is by what a file is known again.
func statOf(info fs.FileInfo) backupdb.Stat {
	return backupdb.Stat{Size: info.Size(), Mtime: info.ModTime(), Ctime: info.ModTime()}
}

// statMetadata is what every system can say.
func statMetadata(info fs.FileInfo) []byte {
	at := seconds(info.ModTime())
	return fmt.Appendf(nil, `{"ctime": %f, "mtime": %f}`, at, at)
}
