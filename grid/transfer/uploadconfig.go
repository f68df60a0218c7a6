package transfer

import (
	"fmt"
	"log/slog"
	"time"

	"trunkline/caps"
)

// Tahoe's defaults: any 3 of 10 shares, on 7 servers at least.
const (
	DefaultK     = 3
	DefaultN     = 10
	DefaultHappy = 7
)

const (
	// DefaultUploadMemory bounds the encoded segments that an upload holds.
	DefaultUploadMemory = 32 << 20
	// DefaultCommitTimeout is how long a server may take to make a share
	// durable.
	DefaultCommitTimeout = 2 * time.Minute
	// DefaultBusyTimeout is how long an upload waits for another upload of
	// the same file.
	DefaultBusyTimeout = time.Minute
)

// UploadConfig says how a file is stored.
type UploadConfig struct {
	// K, N and Happy: any K of N shares give the file back; the upload fails
	// unless the shares could be spread so that Happy servers hold one each
	// of their own. 1 <= K <= N <= 256, K < 256, 1 <= Happy <= N. All three
	// zero means 3, 10, 7.
	K, N, Happy int
	// MaxSegment is the largest segment in bytes; 0 means
	// chk.DefaultMaxSegment. It enters the convergent key.
	MaxSegment uint64
	// Secret is the client's convergence secret: the same file with the same
	// parameters gets the same cap. nil means a random key. An empty one is
	// refused, as anybody could confirm a guess at the contents.
	Secret []byte
	// LeaseSecret is the client's lease secret; the servers' follow from it.
	LeaseSecret [32]byte
	// Servers are those that may be given shares, in any order. They must
	// outlive the upload.
	Servers []Server
	// Memory bounds the encoded segments in flight, in bytes. At least one is
	// always allowed. 0 means [DefaultUploadMemory].
	Memory int64
	// Timeout ends a single step of a server, beyond the time that its bytes
	// may take at 16 KiB/s. 0 means [DefaultTimeout].
	Timeout time.Duration
	// CommitTimeout is the like for making a share durable. 0 means
	// [DefaultCommitTimeout].
	CommitTimeout time.Duration
	// BusyTimeout is how long to wait when too few servers take shares while
	// some are taking the same shares from somebody else. 0 means
	// [DefaultBusyTimeout], negative not at all.
	BusyTimeout time.Duration
	// Progress, if not nil, is told how far the upload is: never by two
	// goroutines at once, and it must not block for long.
	Progress func(Event)
	// Logger takes what went wrong with servers. nil discards.
	Logger *slog.Logger
	// Now is the clock. nil means the system's.
	Now func() time.Time
}

// Phase is what an upload is doing.
type Phase int

// The phases of an upload, in order. The first is left out with a random key.
const (
	PhaseKey    Phase = iota + 1 // hashing the plaintext to its convergent key
	PhasePlace                   // finding servers
	PhaseEncode                  // encoding and sending
	PhaseCommit                  // waiting for the servers' disks
)

// String is one word for people.
func (p Phase) String() string {
	switch p {
	case PhaseKey:
		return "hashing"
	case PhasePlace:
		return "placing"
	case PhaseEncode:
		return "sending"
	case PhaseCommit:
		return "committing"
	}
	return "waiting"
}

// Event is progress. Done and Total count bytes of plaintext and do not
// decrease within a phase; in [PhasePlace] and [PhaseCommit] Done is 0.
type Event struct {
	Phase       Phase
	Done, Total uint64
}

// UploadResult says where a file is now.
type UploadResult struct {
	// Cap is the read cap: CHK, or a literal for a file of up to
	// chk.LiteralMax bytes, which has no shares.
	Cap caps.Cap
	// Placement is the server of each share.
	Placement map[int]caps.PublicKey
	// Existing are the shares among them that were there before.
	Existing []int
	// Happiness is the number of servers that hold a share of their own.
	Happiness int
	// Lost names the servers that failed on the way. The upload succeeded
	// without them.
	Lost []Blame
}

func (c UploadConfig) withDefaults() (UploadConfig, error) {
	if c.K == 0 && c.N == 0 && c.Happy == 0 {
		c.K, c.N, c.Happy = DefaultK, DefaultN, DefaultHappy
	}
	switch {
	case c.K < 1 || c.N < c.K || c.N > 256 || c.K == 256:
		return c, fmt.Errorf("%w: %d of %d shares", ErrConfig, c.K, c.N)
	case c.Happy < 1 || c.Happy > c.N:
		return c, fmt.Errorf("%w: %d of %d shares on %d servers", ErrConfig, c.K, c.N, c.Happy)
	case c.Secret != nil && len(c.Secret) == 0:
		return c, fmt.Errorf("%w: the convergence secret is empty", ErrConfig)
	}
	if c.Memory <= 0 {
		c.Memory = DefaultUploadMemory
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.CommitTimeout <= 0 {
		c.CommitTimeout = DefaultCommitTimeout
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = DefaultBusyTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return c, nil
}
