package mutable

import (
	"fmt"
	"log/slog"
	"time"

	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

const (
	// DefaultTimeout ends a single request to a server, beyond the time its bytes may take.
	DefaultTimeout = 15 * time.Second
	// DefaultPatience is how long a silent server is waited for when the others are enough.
	DefaultPatience = time.Second
	// DefaultSettle is how long the remains of an unfinished write must stay as they are before they are taken for
	// those of a writer that crashed.
	DefaultSettle = 3 * time.Second
	// DefaultMemory bounds the shares and segments that one call holds, in bytes.
	DefaultMemory = 128 << 20
)

// Config says where mutable files are kept and how.
type Config struct {
	// Servers are all servers of the grid at the moment, in any order. They are asked for every file. It is called for
	// each operation and must be safe for concurrent use; its servers must outlive the operation.
	Servers func() []transfer.Server
	// Uploads are those among Servers that may be given shares they do not have yet. nil: all of them.
	Uploads func() []transfer.Server
	// K, N and Happy are for new files: any K of N shares give the file back. Happy is for every write: it is acknowledged
	// when Happy servers hold a share of their own of it. 1 <= K <= N <= 255, 1 <= Happy <= N. All zero means 3, 10, 7.
	// The package comment says what depends on Happy.
	K, N, Happy int
	// LeaseSecret is the client's lease secret; the servers' follow from it.
	LeaseSecret [32]byte
	// Seen remembers the newest version seen of each file, so that servers cannot present an older one. nil: none is kept.
	Seen *Seen
	// Keys has RSA keys for new files ready. nil: each is made when it is needed.
	Keys *KeyPool
	// Timeout ends a single request to a server that neither answers nor fails; requests of many bytes get more. It is
	// waited for only while what the others said is not enough. 0 means [DefaultTimeout].
	Timeout time.Duration
	// Patience is how long others are waited for when what is known suffices. 0 means [DefaultPatience].
	Patience time.Duration
	// Settle is how long the remains of somebody's unfinished write must have stayed as they are before they are
	// overwritten. It must be the same for all writers of a file, within a factor of two. 0 means [DefaultSettle].
	Settle time.Duration
	// Memory bounds the shares and segments that one call holds, in bytes; one segment, and one share while writing, is
	// always allowed. 0 means [DefaultMemory].
	Memory int64
	// Logger takes what went wrong with servers. nil discards.
	Logger *slog.Logger
	// Now is the clock. nil means the system's.
	Now func() time.Time
}

func (c Config) withDefaults() (Config, error) {
	if c.K == 0 && c.N == 0 && c.Happy == 0 {
		c.K, c.N, c.Happy = transfer.DefaultK, transfer.DefaultN, transfer.DefaultHappy
	}
	switch {
	case c.Servers == nil:
		return c, fmt.Errorf("%w: no servers", ErrConfig)
	case c.K < 1 || c.N < c.K || c.N > ssk.MaxShares:
		return c, fmt.Errorf("%w: %d of %d shares", ErrConfig, c.K, c.N)
	case c.Happy < 1 || c.Happy > c.N:
		return c, fmt.Errorf("%w: %d shares on %d servers", ErrConfig, c.N, c.Happy)
	}
	if c.Uploads == nil {
		c.Uploads = c.Servers
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Patience <= 0 {
		c.Patience = DefaultPatience
	}
	if c.Settle <= 0 {
		c.Settle = DefaultSettle
	}
	if c.Memory <= 0 {
		c.Memory = DefaultMemory
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return c, nil
}
