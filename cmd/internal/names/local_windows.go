package names

import (
	"fmt"
	"path/filepath"
	"strings"
)

// localHere refuses what Windows takes for a drive, a device or a stream.
func localHere(name string) error {
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `\:*?"<>|`) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return fmt.Errorf("%w: Windows does not take it", ErrLocal)
	}
	return nil
}
