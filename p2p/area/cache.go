package area

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/p2p/area/pb"
	"trunkline/p2p/durable"
)

const (
	// DefaultMaxAreas is the default of [CacheConfig.MaxAreas].
	DefaultMaxAreas = 4096
	// maxMarks is how many delegates of one area are remembered.
	maxMarks = 16
	// maxEntryFile bounds what is read of one file.
	maxEntryFile = MaxDelegation + MaxSheetRecord + (maxMarks+1)*64 + 64

	entrySuffix = ".area"
)

// CacheConfig makes a [Cache].
type CacheConfig struct {
	// Dir is where the cache lives, made if missing; one process at a time.
	// Empty keeps everything in memory, and forgets what is too old when the
	// process ends.
	Dir string
	// MaxAreas is how many areas are remembered. A full cache refuses new
	// ones: forgetting one would let old records of it back in. Default 4096.
	MaxAreas int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Cache remembers the newest record of each area, and the ratchet: the
// highest sequence numbers ever accepted. It never goes back to less, across
// restarts and whatever the clock says. What Put accepted is on disk when it
// returns. A Cache is safe for concurrent use.
type Cache struct {
	config CacheConfig

	mu      sync.Mutex
	entries map[caps.AreaCode]*entry // nil entry: on disk, not read yet
}

// entry is one area: the newest record and the marks.
type entry struct {
	info  Info // opened without regard to expiry
	grid  mark
	sheet []mark // the current delegate's first
}

// mark is the highest record of one key.
type mark struct {
	key      caps.PublicKey
	sequence uint64
	notAfter time.Time
}

// compare orders marks of one key: by sequence, then end of life.
func (m mark) compare(sequence uint64, notAfter time.Time) int {
	switch {
	case m.sequence < sequence:
		return -1
	case m.sequence > sequence:
		return 1
	default:
		return m.notAfter.Compare(notAfter)
	}
}

// OpenCache opens or makes the cache in config.Dir.
func OpenCache(config CacheConfig) (*Cache, error) {
	if config.MaxAreas <= 0 {
		config.MaxAreas = DefaultMaxAreas
	}
	if config.Now == nil {
		config.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	c := &Cache{config: config, entries: make(map[caps.AreaCode]*entry)}
	if config.Dir == "" {
		return c, nil
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening area cache: %w", err)
	}
	files, err := os.ReadDir(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening area cache: %w", err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), entrySuffix)
		if !ok {
			continue
		}
		if area, err := caps.ParseAreaCode(name); err == nil {
			c.entries[area] = nil
		}
	}
	return c, nil
}

// path is the file of area.
func (c *Cache) path(area caps.AreaCode) string {
	return filepath.Join(c.config.Dir, area.String()+entrySuffix)
}

// Get returns the newest record of area, valid now. Errors: [ErrUnknownArea],
// [ErrExpired], [ErrCacheDamaged].
func (c *Cache) Get(area caps.AreaCode) (Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.load(area)
	if err != nil {
		return Info{}, err
	}
	if e == nil {
		return Info{}, fmt.Errorf("not in the cache: %w", ErrUnknownArea)
	}
	if c.config.Now().After(e.info.NotAfter) {
		return Info{}, fmt.Errorf("the cached record ended %s: %w", e.info.NotAfter.UTC().Format(time.RFC3339), ErrExpired)
	}
	return e.info, nil
}

// Put checks r and keeps what is newer in it: layers are joined, so that a
// new delegation is not lost because it came with yesterday's sheet. It
// returns the record that now stands, and whether r changed it. A record that
// brings nothing new and is older in a layer is [ErrRollback]; other errors
// are those of [Record.Open], [ErrCacheFull] and [ErrCacheDamaged].
func (c *Cache) Put(area caps.AreaCode, r Record) (info Info, newer bool, err error) {
	now := c.config.Now()
	offered, err := r.Open(area, now)
	if err != nil {
		return Info{}, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.load(area)
	if err != nil {
		return Info{}, false, err
	}
	if e == nil {
		if len(c.entries) >= c.config.MaxAreas {
			return Info{}, false, fmt.Errorf("%d areas: %w", len(c.entries), ErrCacheFull)
		}
		e = &entry{info: offered}
		e.raise()
		if err := c.store(area, e); err != nil {
			return Info{}, false, err
		}
		return e.info, true, nil
	}
	joined, err := e.join(offered, now)
	if err != nil {
		return Info{}, false, err
	}
	if bytes.Equal(joined.Record.Delegation, e.info.Record.Delegation) && bytes.Equal(joined.Record.Sheet, e.info.Record.Sheet) {
		return e.info, false, nil
	}
	next := &entry{info: joined, grid: e.grid, sheet: append([]mark(nil), e.sheet...)}
	next.raise()
	if err := c.store(area, next); err != nil {
		return Info{}, false, err
	}
	return next.info, true, nil
}

// join makes the newest record from the one that stands and the one offered,
// or says why the offered one is too old.
func (e *entry) join(offered Info, now time.Time) (Info, error) {
	held := e.info
	useDelegation, useSheet := offered, offered
	switch e.grid.compare(offered.DelegationSeq, offered.delegationEnd) {
	case 1:
		if now.After(held.delegationEnd) || held.Delegate != offered.Delegate {
			return Info{}, fmt.Errorf("delegation %d, but %d was seen: %w", offered.DelegationSeq, e.grid.sequence, ErrRollback)
		}
		useDelegation = held
	case 0:
		if held.Delegate != offered.Delegate {
			return Info{}, fmt.Errorf("delegation %d names another key than the one seen: %w", offered.DelegationSeq, ErrRollback)
		}
		useDelegation = held // the same, or signed twice: the first stands
	}
	older := false
	if m, ok := e.markOf(offered.Delegate); ok {
		switch m.compare(offered.SheetSeq, offered.sheetEnd) {
		case 1:
			if held.Delegate != offered.Delegate || now.After(held.sheetEnd) {
				return Info{}, fmt.Errorf("contact sheet %d, but %d was seen: %w", offered.SheetSeq, m.sequence, ErrRollback)
			}
			useSheet, older = held, true
		case 0:
			if held.Delegate == offered.Delegate {
				useSheet = held
			}
		}
	}
	olderDelegation := e.grid.compare(offered.DelegationSeq, offered.delegationEnd) > 0
	if bytes.Equal(useDelegation.Record.Delegation, held.Record.Delegation) && bytes.Equal(useSheet.Record.Sheet, held.Record.Sheet) && (older || olderDelegation) {
		return Info{}, fmt.Errorf("delegation %d with contact sheet %d, but %d and %d were seen: %w",
			offered.DelegationSeq, offered.SheetSeq, held.DelegationSeq, held.SheetSeq, ErrRollback)
	}
	joined := useSheet
	joined.DelegationSeq, joined.delegationEnd = useDelegation.DelegationSeq, useDelegation.delegationEnd
	joined.Record.Delegation = useDelegation.Record.Delegation
	joined.NotAfter = joined.delegationEnd
	if joined.sheetEnd.Before(joined.NotAfter) {
		joined.NotAfter = joined.sheetEnd
	}
	return joined, nil
}

func (e *entry) markOf(delegate caps.PublicKey) (mark, bool) {
	for _, m := range e.sheet {
		if m.key == delegate {
			return m, true
		}
	}
	return mark{}, false
}

// raise lifts the marks to the record that stands.
func (e *entry) raise() {
	e.grid = mark{key: e.info.Area.Key(), sequence: e.info.DelegationSeq, notAfter: e.info.delegationEnd}
	marks := []mark{{key: e.info.Delegate, sequence: e.info.SheetSeq, notAfter: e.info.sheetEnd}}
	for _, m := range e.sheet {
		if m.key != e.info.Delegate && len(marks) < maxMarks {
			marks = append(marks, m)
		}
	}
	e.sheet = marks
}

// load returns the entry of area, or nil if there is none. mu is held.
func (c *Cache) load(area caps.AreaCode) (*entry, error) {
	e, ok := c.entries[area]
	if e != nil || !ok {
		return e, nil
	}
	e, err := c.read(area)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; deleting %s forgets which records are too old", ErrCacheDamaged, err, c.path(area))
	}
	c.entries[area] = e
	return e, nil
}

func (c *Cache) read(area caps.AreaCode) (*entry, error) {
	b, err := durable.ReadFile(c.path(area), maxEntryFile)
	if err != nil {
		return nil, err
	}
	var m pb.CacheEntry
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	// The zero time is before every end of life: nothing has expired.
	info, err := recordFrom(m.GetRecord()).Open(area, time.Time{})
	if err != nil {
		return nil, err
	}
	e := &entry{info: info}
	if e.grid, err = markFrom(m.GetDelegation()); err != nil {
		return nil, err
	}
	for _, pm := range m.GetSheets() {
		sheet, err := markFrom(pm)
		if err != nil {
			return nil, err
		}
		e.sheet = append(e.sheet, sheet)
	}
	if len(e.sheet) == 0 || len(e.sheet) > maxMarks || e.sheet[0].key != info.Delegate || e.grid.key != area.Key() ||
		e.grid.compare(info.DelegationSeq, info.delegationEnd) != 0 || e.sheet[0].compare(info.SheetSeq, info.sheetEnd) != 0 {
		return nil, errors.New("marks and record disagree")
	}
	return e, nil
}

func markFrom(m *pb.Mark) (mark, error) {
	key, err := caps.ParsePublicKey(m.GetKey())
	if err != nil {
		return mark{}, err
	}
	return mark{key: key, sequence: m.GetSequence(), notAfter: time.Unix(0, m.GetNotAfter()).UTC()}, nil
}

func (m mark) proto() *pb.Mark {
	return &pb.Mark{Key: m.key.Bytes(), Sequence: m.sequence, NotAfter: m.notAfter.UnixNano()}
}

// store makes e durable, then visible. mu is held.
func (c *Cache) store(area caps.AreaCode, e *entry) error {
	if c.config.Dir != "" {
		m := &pb.CacheEntry{Record: e.info.Record.proto(), Delegation: e.grid.proto()}
		for _, s := range e.sheet {
			m.Sheets = append(m.Sheets, s.proto())
		}
		b, err := proto.Marshal(m)
		if err != nil {
			return fmt.Errorf("writing area cache: %w", err)
		}
		if err := durable.WriteFile(c.path(area), b); err != nil {
			return fmt.Errorf("writing area cache: %w", err)
		}
	}
	c.entries[area] = e
	return nil
}
