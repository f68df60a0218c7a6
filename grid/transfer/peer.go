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
	firmBytes      = 32 << 10 // reads below say more of the way than of the rate
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
	perByte  float64       // seconds, moving average of what it delivered; 0: unknown
	firm     bool          // perByte comes from reads large enough to tell
	floor    float64       // seconds per byte it was slower than when last given up; 0: delivered since
	inFlight int64         // bytes asked for and not yet answered
	lastDone time.Time     // when it last completed a read

	restUntil time.Time     // not chosen before, if others can be
	rest      time.Duration // the last rest given
}

// rate is the seconds that the peer takes for a byte, as far as known.
func (p *peer) rate() float64 {
	if p.perByte == 0 {
		return 1 / expectedRate
	}
	return p.perByte
}

// expect is the time in which the peer should deliver n more bytes.
func (p *peer) expect(n int64) time.Duration {
	return p.trip + seconds(float64(p.inFlight+n)*max(p.rate(), p.floor))
}

// patience is how long the peer may be silent over a request of n bytes
// before somebody else is asked as well. It counts from its last answer, so
// requests that wait in a queue are not taken for hung; and it follows from
// what the peer delivered only, so that one which hangs does not earn more.
func (p *peer) patience(n int64) time.Duration {
	if p.trip == 0 && p.perByte == 0 {
		return hedgeUnknown
	}
	d := max(hedgeFactor*(p.trip+seconds(float64(n)*p.rate())), hedgeLeast)
	if !p.firm {
		return min(d, hedgeUnknown)
	}
	return min(d, hedgeMost)
}

// tripped notes the time of a small request.
func (p *peer) tripped(d time.Duration) {
	if p.trip == 0 || d < p.trip {
		p.trip = max(d, 1)
	}
}

// delivered notes n bytes that were asked for at start and came at now.
func (p *peer) delivered(start, now time.Time, n int64) {
	took := now.Sub(start) - p.trip
	if p.lastDone.After(start) {
		took = now.Sub(p.lastDone) // it waited in the queue, not on the way
	}
	perByte := max(took.Seconds(), 1e-12) / float64(max(n, 1))
	switch {
	case n >= firmBytes && !p.firm:
		p.perByte, p.firm = perByte, true
	case n >= firmBytes || !p.firm:
		if p.perByte == 0 {
			p.perByte = perByte
		}
		p.perByte += weightOfSample * (perByte - p.perByte)
	}
	p.lastDone = now
	p.floor = 0
	p.rest = 0
	p.restUntil = time.Time{}
}

// gaveUp notes that n bytes asked for at start had not come by now.
func (p *peer) gaveUp(start, now time.Time, n int64) {
	took := now.Sub(start)
	if p.lastDone.After(start) {
		took = now.Sub(p.lastDone)
	}
	p.floor = max(p.floor, took.Seconds()/float64(max(n, 1)))
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

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
