package backup

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"trunkline/cmd/internal/backupdb"
)

// statOf is by what a file is known again. The time of its last change is the
// system's own, which no program sets.
func statOf(info fs.FileInfo) backupdb.Stat {
	s := backupdb.Stat{Size: info.Size(), Mtime: info.ModTime(), Ctime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Ctime = time.Unix(st.Ctim.Unix())
	}
	return s
}

// statMetadata is the JSON object that Tahoe-LAFS's backup command writes.
func statMetadata(info fs.FileInfo) []byte {
	s := statOf(info)
	text := fmt.Appendf(nil, `{"ctime": %f, "mtime": %f`, seconds(s.Ctime), seconds(s.Mtime))
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		text = fmt.Appendf(text, `, "st_mode": %d, "st_ino": %d, "st_dev": %d, "st_uid": %d, "st_gid": %d`,
			st.Mode, st.Ino, st.Dev, st.Uid, st.Gid)
	}
	return append(text, '}')
}
