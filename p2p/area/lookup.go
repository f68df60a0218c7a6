package area

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"trunkline/caps"
	"trunkline/p2p"
)

// maxDelegates bounds how many delegates one look-up follows. Only the grid
// key can name any.
const maxDelegates = 4

// lookup asks every source for one area.
type lookup struct {
	r      *Resolver
	area   caps.AreaCode
	report func(Step)
	first  func(Info) // told of the first valid record, once

	wg sync.WaitGroup

	mu          sync.Mutex // also orders report
	verdict     verdict
	found       bool
	delegations map[caps.PublicKey][]byte // the best one naming each delegate
	sheets      map[caps.PublicKey][]byte // a valid one of each delegate
}

// run asks every source at once and returns the newest record when all have
// answered. report and first may be nil.
func (r *Resolver) run(ctx context.Context, area caps.AreaCode, report func(Step), first func(Info)) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, r.config.LookupTimeout)
	defer cancel()
	l := &lookup{
		r: r, area: area, report: report, first: first,
		delegations: make(map[caps.PublicKey][]byte), sheets: make(map[caps.PublicKey][]byte),
	}
	if report != nil {
		l.reportCache()
	}
	if r.config.DHT != nil {
		for i := range Replicas {
			l.wg.Go(func() { l.askDHT(ctx, RecordKey(i, area.Key()), layerDelegation, l.gotDelegation(ctx)) })
		}
	}
	for _, d := range r.config.Directories() {
		l.wg.Go(func() { l.askDirectory(ctx, d) })
	}
	l.wg.Wait()
	if l.found {
		return r.config.Cache.Get(area)
	}
	return Info{}, l.verdict.err()
}

// step reports s and counts it for the verdict.
func (l *lookup) step(s Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.At = l.r.config.Now()
	if s.Source != FromCache {
		l.verdict.add(s)
	}
	if l.report != nil {
		l.report(s)
	}
}

// reportCache tells what was known before.
func (l *lookup) reportCache() {
	s := Step{Source: FromCache, Where: "on disk", Layer: layerRecord, Outcome: Found}
	info, err := l.r.config.Cache.Get(l.area)
	switch {
	case err == nil:
		s.DelegationSeq, s.SheetSeq = info.DelegationSeq, info.SheetSeq
	case errors.Is(err, ErrUnknownArea):
		s.Outcome = Nothing
	default:
		s.Outcome, s.Err = Turned, err
	}
	l.step(s)
}

// askDirectory asks one directory for the whole record.
func (l *lookup) askDirectory(ctx context.Context, d p2p.Peer) {
	s := Step{Source: FromDirectory, Where: d.Key.String(), Outcome: Asked}
	l.step(s)
	r, err := Lookup(ctx, l.r.config.Host, d, l.area)
	switch {
	case err == nil:
		s.Layer = layerRecord
		l.offer(s, r)
		return
	case absent(err):
		s.Outcome, s.Layer = Nothing, layerRecord
	default:
		s.Outcome, s.Err = Failed, err
	}
	l.step(s)
}

// askDHT searches one key and hands each value to got, which reports it.
func (l *lookup) askDHT(ctx context.Context, key, layer string, got func(s Step, value []byte)) {
	s := Step{Source: FromDHT, Where: key, Outcome: Asked}
	l.step(s)
	values, err := l.r.config.DHT.SearchRecord(ctx, key)
	if err != nil && !absent(err) {
		s.Outcome, s.Err = Failed, err
		l.step(s)
		return
	}
	n := 0
	if err == nil {
		for value := range values {
			n++
			got(Step{Source: FromDHT, Where: key, Layer: layer}, bytes.Clone(value))
		}
	}
	switch {
	case ctx.Err() != nil:
		s.Outcome, s.Err = Failed, ctx.Err()
	case n == 0:
		s.Outcome, s.Layer = Nothing, layer
	default:
		return
	}
	l.step(s)
}

// gotDelegation returns what is done with values under the grid's name: the
// first that names a delegate starts the search for that delegate's sheet.
func (l *lookup) gotDelegation(ctx context.Context) func(Step, []byte) {
	return func(s Step, value []byte) {
		d, err := OpenDelegation(l.area, value, l.r.config.Cache.config.Now())
		if err != nil {
			s.Outcome, s.Err = Turned, err
			l.step(s)
			return
		}
		s.Outcome, s.DelegationSeq = Found, d.Sequence
		l.step(s)

		l.mu.Lock()
		best, known := l.delegations[d.Delegate]
		if !known && len(l.delegations) >= maxDelegates {
			l.mu.Unlock()
			return
		}
		if known && !l.better(best, value) {
			l.mu.Unlock()
			return
		}
		l.delegations[d.Delegate] = value
		sheet := l.sheets[d.Delegate]
		l.mu.Unlock()

		if sheet != nil {
			l.offer(s, Record{Delegation: value, Sheet: sheet})
		}
		if !known {
			for i := range Replicas {
				l.wg.Go(func() { l.askDHT(ctx, RecordKey(i, d.Delegate), layerSheet, l.gotSheet(d.Delegate)) })
			}
		}
	}
}

// gotSheet returns what is done with values under a delegate's name.
func (l *lookup) gotSheet(delegate caps.PublicKey) func(Step, []byte) {
	return func(s Step, value []byte) {
		if _, _, err := openSheet(delegate, value, l.r.config.Cache.config.Now()); err != nil {
			s.Outcome, s.Err = Turned, err
			l.step(s)
			return
		}
		l.mu.Lock()
		l.sheets[delegate] = value // of several, the cache keeps the best
		delegation := l.delegations[delegate]
		l.mu.Unlock()
		l.offer(s, Record{Delegation: delegation, Sheet: value})
	}
}

// better says whether IPNS prefers b, a valid record of the same key, to a.
func (l *lookup) better(a, b []byte) bool {
	i, err := Validator{}.Select("", [][]byte{a, b})
	return err == nil && i == 1
}

// offer puts a whole record to the cache, which has the last word, and tells
// the first waiter.
func (l *lookup) offer(s Step, r Record) {
	info, _, err := l.r.config.Cache.Put(l.area, r)
	if err != nil {
		if opened, openErr := r.Open(l.area, l.r.config.Cache.config.Now()); openErr == nil {
			s.DelegationSeq, s.SheetSeq = opened.DelegationSeq, opened.SheetSeq
		}
		s.Outcome, s.Err = Turned, err
		l.step(s)
		return
	}
	s.Outcome, s.DelegationSeq, s.SheetSeq = Found, info.DelegationSeq, info.SheetSeq
	l.step(s)
	l.mu.Lock()
	first := l.first
	l.first, l.found = nil, true
	l.mu.Unlock()
	if first != nil {
		first(info)
	}
}
