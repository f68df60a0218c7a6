package roster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/grid/roster/pb"
	"trunkline/p2p"
	"trunkline/p2p/durable"
)

// HolderConfig says what a [Holder] holds and whom it asks.
type HolderConfig struct {
	Area caps.AreaCode
	// Self is the key of this node.
	Self caps.PublicKey
	// Path is the file that keeps the newest roster and the ratchet. Its folder exists.
	Path string
	// Host opens streams for refreshing. Nil: Refresh fails, everything else works.
	Host p2p.Opener
	// Manager are address hints for the manager, for the time before a roster
	// has told any; its key may be zero once a roster was held.
	Manager p2p.Peer
	// Addrs are this node's present addresses, told to the manager with each
	// refresh. Nil says nothing.
	Addrs func() []string
	// Interval is the time between background refreshes, default 20 s: a
	// revocation is known everywhere that is connected within a minute.
	Interval time.Duration
	Now      func() time.Time // default time.Now
	Logger   *slog.Logger     // default discards
}

const (
	defaultInterval = 20 * time.Second
	heldSchema      = 1
	maxHeldBytes    = MaxRosterBytes + 64<<10
	askMembers      = 8 // members asked when the manager does not answer
)

// A Holder has the newest roster and never goes back to an older one, even
// across restarts. Safe for concurrent use; [Holder.Allow] takes no lock.
type Holder struct {
	cfg   HolderConfig
	state atomic.Pointer[held]

	mu      sync.Mutex    // serialises changes
	changed chan struct{} // closed and replaced with each new roster; guarded by mu
}

// held is immutable once published.
type held struct {
	number   Number // ratchet; kept when roster is nil because it had ended
	roster   *Verified
	cert     *Certificate
	certRaw  []byte
	memberOf map[caps.PublicKey]Role
}

// OpenHolder reads what the last run left behind. A missing file is a new holder.
//
// A roster that ended while the node was off is dropped, its number is not: an
// older one stays refused. Errors: a file that is damaged or of a newer schema.
func OpenHolder(cfg HolderConfig) (*Holder, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Holder{cfg: cfg, changed: make(chan struct{})}
	st, err := h.load()
	if err != nil {
		return nil, fmt.Errorf("opening roster file %s: %w", filepath.Base(cfg.Path), err)
	}
	h.state.Store(st)
	return h, nil
}

func (h *Holder) load() (*held, error) {
	b, err := durable.ReadFile(h.cfg.Path, maxHeldBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &held{}, nil
	case errors.Is(err, durable.ErrTooLarge):
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	case err != nil:
		return nil, err
	}
	var m pb.Held
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if m.GetSchema() != heldSchema {
		return nil, fmt.Errorf("%w: schema %d, this program knows %d", ErrMalformed, m.GetSchema(), heldSchema)
	}
	st := &held{number: Number{Delegation: m.GetDelegationSequence(), Roster: m.GetRosterSequence()}}
	v, err := Open(h.cfg.Area, Bundle{Delegation: m.GetDelegation(), Roster: m.GetRoster()}, h.cfg.Now())
	switch {
	case errors.Is(err, ErrExpired):
		return st, nil
	case err != nil:
		return nil, err
	case v.Number() != st.number:
		return nil, fmt.Errorf("%w: the file's number is not its roster's", ErrMalformed)
	}
	st.adopt(v)
	st.certify(h.cfg, m.GetCertificate())
	return st, nil
}

// adopt makes v the roster of a state that is not published yet.
func (st *held) adopt(v Verified) {
	st.roster = &v
	st.number = v.Number()
	st.memberOf = make(map[caps.PublicKey]Role, len(v.Roster.Value.Members))
	for _, m := range v.Roster.Value.Members {
		st.memberOf[m.Key] = m.Roles
	}
}

// certify takes the certificate if it is valid for this node.
func (st *held) certify(cfg HolderConfig, raw []byte) {
	if st.roster == nil || len(raw) == 0 {
		return
	}
	m, err := (Credential{Delegation: st.roster.Bundle.Delegation, Certificate: raw}).Verify(cfg.Area, cfg.Self, cfg.Now())
	if err != nil {
		return
	}
	st.cert, st.certRaw = &m.Certificate, raw
}

// Current is the newest roster. Errors: ErrNoRoster; ErrExpired.
func (h *Holder) Current() (Verified, error) {
	st := h.state.Load()
	if st.roster == nil {
		if st.number != (Number{}) {
			return Verified{}, fmt.Errorf("roster %d: %w; the grid's manager has to be reached", st.number.Roster, ErrExpired)
		}
		return Verified{}, ErrNoRoster
	}
	if st.roster.Expired(h.cfg.Now()) {
		return Verified{}, fmt.Errorf("roster %d ended %s: %w; the grid's manager has to be reached",
			st.number.Roster, st.roster.NotAfter().UTC().Format(time.RFC3339), ErrExpired)
	}
	return *st.roster, nil
}

// Allow says whether the key may act in one of the roles in any. It is asked on
// every request, so that a revocation bites on the next one.
//
// Errors: ErrNotMember, ErrRole, ErrNoRoster, ErrExpired.
func (h *Holder) Allow(key caps.PublicKey, anyOf Role) error {
	st := h.state.Load()
	if st.roster == nil || st.roster.Expired(h.cfg.Now()) {
		_, err := h.Current()
		return err
	}
	has, ok := st.memberOf[key]
	if !ok {
		return fmt.Errorf("%s: %w", key, ErrNotMember)
	}
	if !has.Any(anyOf) {
		return &RoleError{Key: key, Has: has, Need: anyOf}
	}
	return nil
}

// Members lists copies of the members that have all of the roles, in order of
// keys; none without a valid roster.
func (h *Holder) Members(roles Role) []Member {
	v, err := h.Current()
	if err != nil {
		return nil
	}
	return v.Roster.Value.With(roles)
}

// Servers is Members(Server).
func (h *Holder) Servers() []Member { return h.Members(Server) }

// Manager is whom to ask: the delegate's key with the newest addresses known.
// Its key is zero as long as nobody named it.
func (h *Holder) Manager() p2p.Peer {
	st := h.state.Load()
	p := p2p.Peer{Key: h.cfg.Manager.Key, Addrs: slices.Clone(h.cfg.Manager.Addrs)}
	if st.roster != nil {
		p.Key = st.roster.Delegation.Delegate
		for _, a := range st.roster.Roster.Value.ManagerAddrs {
			if !slices.Contains(p.Addrs, a) && len(p.Addrs) < p2p.MaxPeerAddrs {
				p.Addrs = append(p.Addrs, a)
			}
		}
	}
	return p
}

// Credential proves this node's membership to somebody outside, as bytes for
// [ParseCredential]. Errors: those of Current; ErrExpired without a valid
// certificate.
func (h *Holder) Credential() ([]byte, error) {
	st := h.state.Load()
	if st.roster == nil {
		_, err := h.Current()
		return nil, err
	}
	now := h.cfg.Now()
	if st.cert == nil || now.Unix() > st.cert.NotAfter || st.roster.Delegation.NotAfter.Before(now) {
		return nil, fmt.Errorf("certificate of this node: %w; the grid's manager has to be reached", ErrExpired)
	}
	return Credential{Delegation: st.roster.Bundle.Delegation, Certificate: st.certRaw}.Marshal()
}

// Changed is closed with the next new roster. Take a fresh one each time, before
// looking at the roster.
func (h *Holder) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// Adopt takes a bundle and, if not empty, this node's certificate, when they are
// valid and not older than what was seen before. It is on disk before anything
// acts on it.
//
// Errors: those of Open; ErrRollback; a failed write, after which nothing changed
// here.
func (h *Holder) Adopt(b Bundle, certificate []byte) error {
	v, err := Open(h.cfg.Area, b, h.cfg.Now())
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.state.Load()
	switch c := v.Number().Compare(old.number); {
	case c < 0:
		return fmt.Errorf("roster %d.%d, but %d.%d was seen: %w", v.Number().Delegation, v.Number().Roster,
			old.number.Delegation, old.number.Roster, ErrRollback)
	case c == 0 && old.roster != nil && v.Roster.Hash() != old.roster.Roster.Hash():
		return fmt.Errorf("two rosters have the number %d.%d: %w", v.Number().Delegation, v.Number().Roster, ErrRollback)
	}
	st := &held{}
	st.adopt(v)
	st.certify(h.cfg, old.certRaw)
	st.certify(h.cfg, certificate)
	return h.publish(st, old.number != st.number || old.roster == nil)
}

// renewCertificate takes a new certificate without a new roster.
func (h *Holder) renewCertificate(raw []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.state.Load()
	st := *old
	st.certify(h.cfg, raw)
	if st.cert == old.cert {
		return nil
	}
	return h.publish(&st, false)
}

// publish writes and then shows a state. The caller holds mu.
func (h *Holder) publish(st *held, changed bool) error {
	m := &pb.Held{
		Schema:             heldSchema,
		DelegationSequence: st.number.Delegation,
		RosterSequence:     st.number.Roster,
		Certificate:        st.certRaw,
	}
	if st.roster != nil {
		m.Delegation, m.Roster = st.roster.Bundle.Delegation, st.roster.Bundle.Roster
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing roster file: %w", err)
	}
	if err := durable.WriteFile(h.cfg.Path, b); err != nil {
		return fmt.Errorf("writing roster file: %w", err)
	}
	h.state.Store(st)
	if changed {
		close(h.changed)
		h.changed = make(chan struct{})
	}
	return nil
}

// wantsCertificate reports whether this node's certificate ought to be replaced:
// at half of its life, or when it no longer says what the roster says.
func (st *held) wantsCertificate(self caps.PublicKey, now time.Time) bool {
	if st.cert == nil || st.roster == nil {
		return true
	}
	return !now.Before(st.cert.HalfLife()) || st.cert.Epoch != st.roster.Roster.Value.Epoch || st.cert.Roles != st.memberOf[self]
}

// Refresh asks the manager for the newest roster and certificate, or some members
// if it does not answer. It returns when the first of them has answered.
//
// Errors: ErrNotMember if the manager itself does not know this node;
// ErrUnreachable.
func (h *Holder) Refresh(ctx context.Context) error {
	if h.cfg.Host == nil {
		return fmt.Errorf("refreshing roster: %w: no host", ErrUnreachable)
	}
	var errs []error
	if manager := h.Manager(); !manager.Key.IsZero() {
		err := h.refreshFrom(ctx, manager)
		if err == nil || errors.Is(err, ErrNotMember) {
			return err
		}
		errs = append(errs, err)
	}
	for _, m := range h.neighbours() {
		if ctx.Err() != nil {
			break
		}
		if err := h.refreshFrom(ctx, m); err != nil {
			errs = append(errs, err)
			continue
		}
		return nil
	}
	if err := ctx.Err(); err != nil {
		errs = append(errs, err)
	}
	return fmt.Errorf("refreshing roster: %w: %w", ErrUnreachable, errors.Join(errs...))
}

// neighbours are a few members in random order, from the last roster even if it
// has ended: their answers are checked as any other.
func (h *Holder) neighbours() []p2p.Peer {
	st := h.state.Load()
	if st.roster == nil {
		return nil
	}
	var out []p2p.Peer
	for _, m := range st.roster.Roster.Value.Members {
		if m.Key != h.cfg.Self && len(m.Addrs) > 0 && m.Roles.Any(Server|Gateway|Contact) {
			out = append(out, m.Peer())
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:min(len(out), askMembers)]
}

func (h *Holder) refreshFrom(ctx context.Context, from p2p.Peer) error {
	st := h.state.Load()
	ask := Ask{Area: h.cfg.Area, Have: st.number, Certificate: st.wantsCertificate(h.cfg.Self, h.cfg.Now())}
	if st.roster == nil || st.roster.Expired(h.cfg.Now()) {
		// The number stays ours, but the roster behind it is needed again.
		ask.Have = Number{}
	}
	if h.cfg.Addrs != nil {
		ask.Addrs = TrimAddrs(h.cfg.Self, h.cfg.Addrs())
	}
	a, err := Fetch(ctx, h.cfg.Host, from, ask)
	if err != nil {
		return err
	}
	if a.Unchanged {
		return h.renewCertificate(a.Certificate)
	}
	if err := h.Adopt(a.Bundle, a.Certificate); err != nil {
		return fmt.Errorf("roster of %s: %w", from.Key, err)
	}
	// A new roster can ask for a new certificate (another epoch, other roles): the
	// manager sent it with the roster only if it was asked for.
	if st = h.state.Load(); len(a.Certificate) == 0 && st.wantsCertificate(h.cfg.Self, h.cfg.Now()) && from.Key == st.roster.Delegation.Delegate {
		a, err := Fetch(ctx, h.cfg.Host, from, Ask{Area: h.cfg.Area, Have: st.number, Certificate: true})
		if err != nil {
			return err
		}
		return h.renewCertificate(a.Certificate)
	}
	return nil
}

// Run refreshes until ctx ends: at once, then at each interval, less often while
// nobody answers, at least once a minute. It returns nil.
func (h *Holder) Run(ctx context.Context) error {
	wait := h.cfg.Interval
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		step, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := h.Refresh(step)
		cancel()
		switch {
		case err == nil:
			wait = h.cfg.Interval
		case ctx.Err() != nil:
			return nil
		default:
			wait = min(2*wait, max(time.Minute, h.cfg.Interval))
			h.cfg.Logger.WarnContext(ctx, "roster was not refreshed", "area_code", h.cfg.Area.String(), "error", err)
		}
		// A tenth of jitter, so that a grid that started together does not ask together.
		timer.Reset(wait - wait/20 + rand.N(wait/10+1)) //nolint:gosec // G404: jitter is no secret
	}
}
