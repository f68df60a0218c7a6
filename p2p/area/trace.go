package area

import (
	"errors"
	"fmt"
	"time"

	"trunkline/p2p"
)

// Outcome is what became of one step of a look-up.
type Outcome string

// The outcomes.
const (
	Asked   Outcome = "asked"   // the question went out
	Found   Outcome = "found"   // a valid answer, the newest so far or equal to it
	Nothing Outcome = "has no"  // the source answered that it has none
	Turned  Outcome = "refused" // an answer that is not believed
	Failed  Outcome = "failed"  // the source could not be asked, or not to the end
)

// Source is where a look-up asks.
type Source string

// The sources.
const (
	FromCache     Source = "cache"
	FromDHT       Source = "dht"
	FromDirectory Source = "directory"
)

// The layers of a record, as Step.Layer has them.
const (
	layerDelegation = "delegation"
	layerSheet      = "sheet"
	layerRecord     = "record" // both
)

// Step is one thing that happened in a look-up, for people who want to see
// where a record came from and why others were not believed.
type Step struct {
	At      time.Time
	Source  Source
	Where   string // the DHT key, or the directory's peer ID
	Outcome Outcome
	Layer   string // "delegation", "sheet", "record", or "" with Asked and Failed
	// DelegationSeq and SheetSeq are set where known.
	DelegationSeq, SheetSeq uint64
	// Err is the reason with Refused and Failed.
	Err error
}

// String returns the step as one line without its time.
func (s Step) String() string {
	line := fmt.Sprintf("%s %s: %s", s.Source, s.Where, s.Outcome)
	if s.Layer != "" {
		line += " " + s.Layer
	}
	if s.DelegationSeq > 0 {
		line += fmt.Sprintf(", delegation %d", s.DelegationSeq)
	}
	if s.SheetSeq > 0 {
		line += fmt.Sprintf(", contact sheet %d", s.SheetSeq)
	}
	if s.Err != nil {
		line += ": " + s.Err.Error()
	}
	return line
}

// verdict is what a look-up that found nothing valid tells: the most telling
// refusal, or who did not answer.
type verdict struct {
	refusal           error
	nothing, failures int
	failure           error
	delegated         bool // a delegation was found
}

// refusals in rising order of what they tell.
func rank(err error) int {
	switch {
	case errors.Is(err, ErrRollback):
		return 4
	case errors.Is(err, ErrExpired):
		return 3
	case errors.Is(err, ErrSignature):
		return 2
	default:
		return 1
	}
}

func (v *verdict) add(s Step) {
	switch s.Outcome {
	case Turned:
		if v.refusal == nil || rank(s.Err) > rank(v.refusal) {
			v.refusal = s.Err
		}
	case Found:
		v.delegated = v.delegated || s.Layer == layerDelegation
	case Nothing:
		v.nothing++
	case Failed:
		v.failures++
		v.failure = s.Err
	}
}

func (v *verdict) err() error {
	switch {
	case v.refusal != nil:
		return v.refusal
	case v.failures > 0:
		return fmt.Errorf("%w; the last of %d failures: %w", ErrNoAnswer, v.failures, v.failure)
	case v.delegated:
		return fmt.Errorf("%w: its delegate is known, but no contact sheet is out", ErrNoAnswer)
	case v.nothing > 0:
		return ErrUnknownArea
	default:
		return fmt.Errorf("%w: neither a DHT nor a directory is configured", ErrNoAnswer)
	}
}

// absent says whether err is a source's answer that it has no record.
func absent(err error) bool { return errors.Is(err, p2p.ErrNotFound) }
