//go:build !linux

package storage

import "os"

// beginWriting does nothing where the system can't be asked: Sync then does all the work.
func beginWriting(*os.File) {}
