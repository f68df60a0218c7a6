package storage

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"trunkline/caps"
)

// MaxShares bounds share numbers: a file has at most 256 shares, numbered from 0.
const MaxShares = 256

const (
	sharesDir    = "shares"
	incomingDir  = sharesDir + "/incoming"
	advisoryDir  = "corruption-advisories"
	lockName     = "trunkline.lock"
	uploadSuffix = ".trunkline"
)

// shareID names one share. Paths are made from it alone, so they hold nothing a peer wrote.
type shareID struct {
	si  caps.StorageIndex
	num int
}

func (id shareID) bucket() string { return bucketDir(sharesDir, id.si) }

func (id shareID) path() string { return path.Join(id.bucket(), strconv.Itoa(id.num)) }

// incoming is the path of the n-th upload of this process. Unlike Tahoe's, our uploads stand side by
// side in one directory: only the process that writes them looks for them, and making and removing two
// directories for each costs more than the rest of a small upload.
func (id shareID) incoming(n uint64) string {
	return fmt.Sprintf("%s/%s-%d.%d%s", incomingDir, id.si, id.num, n, uploadSuffix)
}

func bucketDir(parent string, si caps.StorageIndex) string {
	text := si.String()
	return path.Join(parent, text[:2], text)
}

// shareNumber reads the name of a share file; other files are none of ours.
func shareNumber(name string) (int, bool) {
	n, err := strconv.Atoi(name)
	if err != nil || n < 0 || n >= MaxShares || strconv.Itoa(n) != name {
		return 0, false
	}
	return n, true
}

// isUpload tells our files under incoming from a Tahoe node's.
func isUpload(name string) bool { return strings.HasSuffix(name, uploadSuffix) }
