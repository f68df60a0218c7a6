//go:build !unix

package node

import "os"

// flock does nothing where the system has none: there, two processes on one node directory are the user's to avoid.
func flock(*os.File) error { return nil }

// ownFolder: temporary directories are each user's own there.
func ownFolder(string) error { return nil }

// NewFileMode is the mode of new files.
func NewFileMode() os.FileMode { return 0o666 }
