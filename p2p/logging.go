package p2p

import (
	"log/slog"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
)

// LogTo sends what libp2p itself has to say, for the whole process, to handler
// in place of standard error. Call it once, before the first New. Packages of
// libp2p that log through another library say nothing.
func LogTo(handler slog.Handler) {
	gologshim.SetDefaultHandler(handler)
	golog.SetupLogging(golog.Config{Level: golog.LevelFatal})
}
