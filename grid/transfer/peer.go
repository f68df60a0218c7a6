package transfer

import (
	"time"
)

// Bounds of what is expected of a server. A hedge costs a share's worth of
// traffic, so it waits for several times what the server's own past says.
const (
	hedgeFactor    = 4
	hedgeLeast     = 40 * time.Millisecond
	hedgeMost      = 10 * time.Second
	hedgeUnknown   = time.Second
	restFirst      = time.Second
	restMost       = 30 * time.Second
	expectedRate   = 20e6 // bytes/s, of a server nothing is known of
	weightOfSample = 0.3
)

// asked is how far a server was asked which shares it has.
type asked uint8

const (
	notAsked asked = iota
	asking
	askedLate // still asking, but no longer waited for
	askedDone
)

// peer is what a File knows of one server. The File's lock guards it.
type peer struct {
	server Server
	rank   int // place in the permuted order
	asked  asked

	trip     time.Duration // smallest time of a small request; 0: unknown
	perByte  float64       // seconds, moving average; 0: unknown
	inFlight int64         // bytes asked for and not yet answered
	lastDone time.Time     // when it last completed a read

	restUntil time.Time     // not chosen before, if others can be
	rest      time.Duration // the last rest given
	failures  int           // in a row
}

// expect is the time in which the peer should deliver n more bytes.
func (p *peer) expect(n int64) time.Duration {
	perByte := p.perByte
	if perByte == 0 {
		perByte = 1 / expectedRate
	}
	return p.trip + time.Duration(float64(p.inFlight+n)*perByte*float64(time.Second))
}

// patience is how long the peer may be silent over a request of n bytes
// before somebody else is asked as well. It counts from its last answer, so
// requests that wait in a queue are not taken for hung.
func (p *peer) patience(n int64) time.Duration {
	if p.perByte == 0 && p.trip == 0 {
		return hedgeUnknown
	}
	perByte := p.perByte
	if perByte == 0 {
		perByte = 1 / expectedRate
	}
	d := hedgeFactor * (p.trip + time.Duration(float64(n)*perByte*float64(time.Second)))
	return min(max(d, hedgeLeast), hedgeMost)
}

// tripped notes the time of a small request.
func (p *peer) tripped(d time.Duration) {
	if p.trip == 0 || d < p.trip {
		p.trip = max(d, 1)
	}
}

// delivered notes n bytes that were asked for at start and came at now.
func (p *peer) delivered(start, now time.Time, n int64) {
	from := start
	if p.lastDone.After(from) {
		from = p.lastDone
	}
	p.sample(now.Sub(from), n)
	p.lastDone = now
	p.failures = 0
	p.rest = 0
	p.restUntil = time.Time{}
}

// gaveUp notes that n bytes asked for at start had not come by now.
func (p *peer) gaveUp(start, now time.Time, n int64) {
	from := start
	if p.lastDone.After(from) {
		from = p.lastDone
	}
	took := now.Sub(from)
	if p.perByte == 0 || took.Seconds()/float64(n) > p.perByte {
		p.sample(took, n)
	}
}

func (p *peer) sample(took time.Duration, n int64) {
	perByte := max(took.Seconds(), 1e-9) / float64(max(n, 1))
	if p.perByte == 0 {
		p.perByte = perByte
		return
	}
	p.perByte += weightOfSample * (perByte - p.perByte)
}

// tired rests the peer: one that fails or stalls is left alone for a time
// that doubles until it delivers again.
func (p *peer) tired(now time.Time) {
	if now.Before(p.restUntil) {
		return
	}
	p.rest = min(max(2*p.rest, restFirst), restMost)
	p.restUntil = now.Add(p.rest)
}

func (p *peer) resting(now time.Time) bool { return now.Before(p.restUntil) }
