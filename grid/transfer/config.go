package transfer

import (
	"log/slog"
	"time"
)

const (
	// DefaultMemory bounds the segments that one Read holds.
	DefaultMemory = 32 << 20
	// DefaultTimeout is how long one request to a server may take.
	DefaultTimeout = 15 * time.Second
)

// Config says how files are read.
type Config struct {
	// Servers are all servers that may have shares, in any order. They must
	// outlive the file.
	Servers []Server
	// Memory bounds the bytes of segments that one [File.Read] has in flight
	// or waiting for fn. At least one segment is always allowed. 0 means
	// [DefaultMemory].
	Memory int64
	// Timeout ends a single request to a server that neither answers nor
	// fails. It decides how long a read that lacks shares waits for silent
	// servers before it says so; where enough other servers answer it is
	// never waited for. 0 means [DefaultTimeout].
	Timeout time.Duration
	// Logger takes what went wrong with servers. nil discards.
	Logger *slog.Logger
	// Now is the clock. nil means the system's.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Memory <= 0 {
		c.Memory = DefaultMemory
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return c
}
