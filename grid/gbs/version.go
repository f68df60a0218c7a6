package gbs

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// protocolName is the key of the limits in a version message.
const protocolName = "http://allmydata.org/tahoe/protocols/storage/v1"

// spaceKnown is for how long the room that a server said it has is believed.
const spaceKnown = 5 * time.Second

// Version is what a server says of itself.
type Version struct {
	// Application is its software, any text.
	Application string
	// MaxImmutable and MaxMutable bound one share, Available what it has room for, in bytes. A server that takes no
	// shares has none.
	MaxImmutable, MaxMutable, Available uint64
}

// Version asks the server what it is. It is the cheapest question there is.
//
// Errors: ErrSwissnum, ErrProtocol; transport.
func (s *Server) Version(ctx context.Context) (Version, error) {
	var v Version
	q := request{step: "asking for the version", method: http.MethodGet, path: "/storage/v1/version", again: true}
	err := s.do(ctx, q, func(resp *http.Response) error {
		b, err := readBody(resp, maxMessage)
		if err != nil {
			return err
		}
		v, err = decodeVersion(b)
		return err
	})
	return v, err
}

// decodeVersion reads a version message, whose keys are byte strings.
func decodeVersion(b []byte) (Version, error) {
	var message map[cbor.ByteString]cbor.RawMessage
	if err := decode(b, &message); err != nil {
		return Version{}, err
	}
	var v Version
	var application []byte
	if raw, ok := message["application-version"]; ok {
		if err := decode(raw, &application); err != nil {
			return Version{}, err
		}
		v.Application = string(application)
	}
	var limits map[cbor.ByteString]uint64
	raw, ok := message[protocolName]
	if !ok {
		return Version{}, ErrProtocol
	}
	if err := decode(raw, &limits); err != nil {
		// Where the disk's room is unknown it is 2^64, which is no uint64.
		return Version{v.Application, math.MaxUint64, math.MaxUint64, math.MaxUint64}, nil
	}
	v.MaxImmutable = limits["maximum-immutable-share-size"]
	v.MaxMutable = limits["maximum-mutable-share-size"]
	v.Available = limits["available-space"]
	return v, nil
}

// room says whether the server claims to have room for a share, as far as it can be asked.
func (s *Server) room(ctx context.Context, size uint64) bool {
	now := s.cfg.Now()
	s.mu.Lock()
	v, known := s.space, !s.spaceAt.IsZero() && now.Sub(s.spaceAt) < spaceKnown
	s.mu.Unlock()
	if !known {
		var err error
		if v, err = s.Version(ctx); err != nil {
			return true
		}
		s.mu.Lock()
		s.space, s.spaceAt = v, now
		s.mu.Unlock()
	}
	return v.Available >= size && v.MaxImmutable >= size
}
