package p2p

import "sync/atomic"

// Traffic is how many bytes the streams of one protocol carried, framing
// included and what lies below the multiplexer not.
type Traffic struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
}

// odometer counts the traffic of one protocol.
type odometer struct{ sent, received atomic.Uint64 }

// metered counts what raw carries under its protocol.
func (h *Host) metered(raw rawStream, protocol string) rawStream {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.traffic[protocol]
	if o == nil {
		if h.traffic == nil {
			h.traffic = make(map[string]*odometer)
		}
		o = &odometer{}
		h.traffic[protocol] = o
	}
	return meteredStream{raw, o}
}

type meteredStream struct {
	rawStream
	o *odometer
}

func (s meteredStream) Read(p []byte) (int, error) {
	n, err := s.rawStream.Read(p)
	s.o.received.Add(uint64(n))
	return n, err
}

func (s meteredStream) Write(p []byte) (int, error) {
	n, err := s.rawStream.Write(p)
	s.o.sent.Add(uint64(n))
	return n, err
}
