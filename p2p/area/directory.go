package area

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area/pb"
)

// Protocol is what directories speak: one request, one response, in order,
// until either side ends the stream.
var Protocol = p2p.Protocol{ID: "/trunkline/area/1", MaxStreamsPerPeer: 8, StepTimeout: 10 * time.Second}

// maxMessage bounds a request and a response.
const maxMessage = 8192

// Directory serves copies of records to anybody. Copies prove themselves, so
// that serving them needs no trust, and asking for them none either.
type Directory struct {
	// Cache is what is served, and where offered records go.
	Cache *Cache
	// Accept decides whether to keep a valid record that publisher offers;
	// the error goes back, with its kind. nil keeps those of a publisher
	// that is the record's delegate or one of its contact points.
	Accept func(publisher caps.PublicKey, info Info) error
	// Logger gets accepted changes; nil discards.
	Logger *slog.Logger
}

// Register serves the directory on h until h closes.
func (d *Directory) Register(h *p2p.Host) { h.Handle(Protocol, d.serve) }

func (d *Directory) serve(_ context.Context, s *p2p.Stream) error {
	for {
		var ask pb.Request
		if err := s.Receive(&ask, maxMessage); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.Send(d.answer(s.Remote(), &ask)); err != nil {
			return err
		}
	}
}

func (d *Directory) answer(remote caps.PublicKey, ask *pb.Request) *pb.Response {
	failed := func(err error) *pb.Response {
		return &pb.Response{Answer: &pb.Response_Failure{Failure: p2p.Failure(err)}}
	}
	switch q := ask.GetAsk().(type) {
	case *pb.Request_Lookup:
		area, err := areaFrom(q.Lookup)
		if err != nil {
			return failed(err)
		}
		info, err := d.Cache.Get(area)
		if err != nil {
			// An expired record is as good as none to who asks.
			if errors.Is(err, ErrExpired) {
				err = ErrUnknownArea
			}
			return failed(err)
		}
		return &pb.Response{Answer: &pb.Response_Record{Record: info.Record.proto()}}
	case *pb.Request_Publish:
		area, err := areaFrom(q.Publish.GetArea())
		if err != nil {
			return failed(err)
		}
		if err := d.keep(remote, area, recordFrom(q.Publish.GetRecord())); err != nil {
			return failed(err)
		}
		return &pb.Response{Answer: &pb.Response_Kept{Kept: true}}
	default:
		return failed(fmt.Errorf("neither a look-up nor a publication: %w", p2p.ErrUnsupported))
	}
}

// keep takes a record from publisher.
func (d *Directory) keep(publisher caps.PublicKey, area caps.AreaCode, r Record) error {
	info, err := r.Open(area, d.Cache.config.Now())
	if err != nil {
		return err
	}
	accept := d.Accept
	if accept == nil {
		accept = ownRecords
	}
	if err := accept(publisher, info); err != nil {
		return err
	}
	_, newer, err := d.Cache.Put(area, r)
	if err == nil && newer && d.Logger != nil {
		d.Logger.Info("area record replaced", "area_code", area.String(),
			"delegation_seq", info.DelegationSeq, "sheet_seq", info.SheetSeq)
	}
	return err
}

// ownRecords is the default of Directory.Accept.
func ownRecords(publisher caps.PublicKey, info Info) error {
	if publisher == info.Delegate {
		return nil
	}
	for _, c := range info.Sheet.Contacts {
		if c.Key == publisher {
			return nil
		}
	}
	return fmt.Errorf("only a grid's manager and contact points publish its record here: %w", p2p.ErrDenied)
}

func areaFrom(b []byte) (caps.AreaCode, error) {
	key, err := caps.ParsePublicKey(b)
	if err != nil {
		return caps.AreaCode{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return caps.NewAreaCode(key), nil
}

// Lookup asks one directory for its copy of area's record. The answer is not
// checked: open it. A directory that has none gives an error that matches
// [p2p.ErrNotFound].
func Lookup(ctx context.Context, o p2p.Opener, directory p2p.Peer, area caps.AreaCode) (Record, error) {
	answer, err := ask(ctx, o, directory, &pb.Request{Ask: &pb.Request_Lookup{Lookup: area.Key().Bytes()}})
	if err != nil {
		return Record{}, fmt.Errorf("asking directory %s: %w", directory.Key, err)
	}
	r, ok := answer.GetAnswer().(*pb.Response_Record)
	if !ok {
		return Record{}, fmt.Errorf("asking directory %s: not an answer to a look-up: %w", directory.Key, p2p.ErrMalformed)
	}
	return recordFrom(r.Record), nil
}

// Offer gives one directory a record to keep.
func Offer(ctx context.Context, o p2p.Opener, directory p2p.Peer, area caps.AreaCode, r Record) error {
	answer, err := ask(ctx, o, directory, &pb.Request{Ask: &pb.Request_Publish{Publish: &pb.Offer{Area: area.Key().Bytes(), Record: r.proto()}}})
	if err != nil {
		return fmt.Errorf("publishing at directory %s: %w", directory.Key, err)
	}
	if !answer.GetKept() {
		return fmt.Errorf("publishing at directory %s: it did not keep the record: %w", directory.Key, p2p.ErrRefused)
	}
	return nil
}

func ask(ctx context.Context, o p2p.Opener, directory p2p.Peer, m *pb.Request) (*pb.Response, error) {
	var answer pb.Response
	if err := p2p.Call(ctx, o, directory, Protocol, m, &answer, maxMessage); err != nil {
		return nil, err
	}
	if f := answer.GetFailure(); f != nil {
		return nil, p2p.FromFailure(f)
	}
	return &answer, nil
}
