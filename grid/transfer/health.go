package transfer

import (
	"fmt"

	"trunkline/caps"
)

// Located is one share on one server.
type Located struct {
	Server caps.PublicKey
	Num    int
	// Reason is why the share is held against the server; nil for a good one.
	Reason error
}

// Health is what a check of one file found, immutable or mutable.
type Health struct {
	// Cap is the verify cap of the file that was checked.
	Cap caps.Cap
	// Needed and Expected are k and n; of a mutable file, its newest
	// recoverable version's, or zero without one.
	Needed, Expected int
	// Good lists the servers of each share that counts, by share number: of a
	// mutable file, those of the newest recoverable version.
	Good map[int][]caps.PublicKey
	// Corrupt lists shares that do not belong to the cap or are damaged.
	Corrupt []Located
	// Versions lists what was found of a mutable file, newest first; nil for
	// an immutable one.
	Versions []VersionHealth
	// Responded are the servers that answered, Failed those that did not.
	Responded []caps.PublicKey
	Failed    []Blame
	// Happiness is the size of a maximum matching between servers and good
	// shares.
	Happiness int
}

// VersionHealth is one version of a mutable file.
type VersionHealth struct {
	Seq    uint64
	Root   caps.Hash // of the share hash tree: with Seq it names the version
	Needed int
	Shares map[int][]caps.PublicKey // by share number
}

// Recoverable says whether k of its shares are there.
func (v VersionHealth) Recoverable() bool { return v.Needed > 0 && len(v.Shares) >= v.Needed }

// Recoverable says whether the file can be read.
func (h Health) Recoverable() bool { return h.Needed > 0 && len(h.Good) >= h.Needed }

// Healthy says whether every share is there, none is corrupt, and of a mutable
// file there is one version alone.
func (h Health) Healthy() bool {
	return h.Recoverable() && len(h.Good) >= h.Expected && len(h.Corrupt) == 0 && len(h.Versions) <= 1
}

// Summary is Healthy, or what is missing, in one line as Tahoe words it.
func (h Health) Summary() string {
	if h.Healthy() {
		return "Healthy"
	}
	encoding := fmt.Sprintf("%d shares (enc %d-of-%d)", len(h.Good), h.Needed, h.Expected)
	switch {
	case !h.Recoverable():
		return "Not Healthy! Unrecoverable: " + encoding
	case len(h.Versions) > 1:
		return "Not Healthy: multiple versions are there, " + encoding
	case len(h.Corrupt) > 0:
		return fmt.Sprintf("Not Healthy: %d corrupt, %s", len(h.Corrupt), encoding)
	}
	return "Not Healthy: " + encoding
}
