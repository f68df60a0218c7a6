package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/p2p"
)

// Defaults of a [Config].
const (
	DefaultMaxUpload = 1 << 40
	DefaultIdle      = 10 * time.Minute
)

// Config makes a [Handler].
type Config struct {
	// Files makes the files that one request works with. limit is the most,
	// in micro-units, that one read across grids may cost; it is never 0, and
	// [Free] stands for what is toll-free alone. It is called often and should
	// cost nothing.
	Files func(limit billing.Credits) tree.Files
	// Price says what reading so many bytes of a cap across grids costs at
	// most, without reading any. nil: nobody can say, and people are shown the
	// ceiling in place of a price.
	Price func(ctx context.Context, c caps.Cap, bytes uint64) (Price, error)

	// Ceiling is the most that one request may cost, in micro-units; 0: what
	// costs money is refused.
	Ceiling billing.Credits
	// CeilingHint is the sentence that says how to set it.
	CeilingHint string
	// Agreed remembers for which areas a person agreed to pay, such as
	// what OpenAgreements returns. nil: it is
	// remembered as long as the Handler lives.
	Agreed Agreements

	// Format is the kind of file in which new directories are kept:
	// caps.KindSDMF, which is the default, or caps.KindMDMF.
	Format caps.Kind
	// Hosts are further values of Host under which requests come in, such as
	// "localhost:8000" where that port is forwarded here. The loopback
	// addresses and localhost with the port that is listened on need not be
	// named.
	Hosts []string
	// TempDir is where uploads wait until they are whole. Default: the
	// system's.
	TempDir string
	// MaxUpload is the longest upload in bytes. Default DefaultMaxUpload.
	MaxUpload int64
	// Idle is how long a client may take none or send none of the bytes of a
	// transfer. Default DefaultIdle.
	Idle time.Duration
	// Node says how the node is, for the first page and for programs that
	// wait until it is ready. It must answer at once. nil: nothing is known.
	Node func() Node

	// Logger gets what helps to find out what happened, without caps and
	// paths; nil discards.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Node is what a Handler tells of the node that it serves.
type Node struct {
	Nickname string
	Version  string
	Area     caps.AreaCode // of the home grid; zero without one
	Servers  []Server
}

// Server is one storage server of the home grid.
type Server struct {
	ID        string
	Nickname  string
	Version   string
	Connected bool
	// Available is the free space in bytes; 0: not known.
	Available uint64
	// Heard is when it answered last; zero: not known.
	Heard time.Time
}

// Handler answers requests. It is safe for concurrent use. It listens nowhere
// itself; whoever serves it does so on loopback addresses alone.
type Handler struct {
	config  Config
	guard   guard
	spool   *spool
	opened  *opened
	ops     *operations
	records *records
	started time.Time

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a Handler.
//
// Errors: ErrConfig.
func New(c Config) (*Handler, error) {
	if c.Files == nil {
		return nil, fmt.Errorf("%w: Files is missing", ErrConfig)
	}
	if c.Ceiling < 0 || c.MaxUpload < 0 || c.Idle < 0 {
		return nil, fmt.Errorf("%w: a limit is negative", ErrConfig)
	}
	if c.Agreed == nil {
		c.Agreed = &agreed{}
	}
	if c.CeilingHint == "" {
		c.CeilingHint = "set a ceiling for the web API in the node's configuration"
	}
	if c.Format == caps.KindUnknown {
		c.Format = caps.KindSDMF
	}
	if c.MaxUpload == 0 {
		c.MaxUpload = DefaultMaxUpload
	}
	if c.Idle == 0 {
		c.Idle = DefaultIdle
	}
	if c.Node == nil {
		c.Node = func() Node { return Node{} }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	h := &Handler{
		config: c, guard: guard{hosts: c.Hosts}, spool: &spool{dir: c.TempDir, max: c.MaxUpload},
		opened: newOpened(), records: newRecords(c.Now), started: c.Now(),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.ops = newOperations(h)
	return h, nil
}

// Close ends the operations that go on without a request, and waits for them.
// Requests are ended by whoever serves them.
func (h *Handler) Close() error {
	h.cancel()
	h.wg.Wait()
	return nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	out := &answer{ResponseWriter: w}
	r = r.WithContext(r.Context()) // a copy, since its body is replaced
	r.Body = &patient{r.Body, http.NewResponseController(w), h.config.Idle, h.config.Now}
	err := h.guard.check(r)
	if err == nil {
		err = h.route(out, r)
	}
	if err != nil {
		h.fail(out, r, err)
	}
	h.config.Logger.DebugContext(r.Context(), "web request", "method", r.Method, "status", out.status, "bytes", out.n)
}

// fail answers with an error. Where a part of another answer is out already, the
// connection ends: what was cut must not look whole.
func (h *Handler) fail(w *answer, r *http.Request, err error) {
	status, text := statusOf(err)
	if status >= http.StatusInternalServerError && r.Context().Err() == nil {
		h.config.Logger.WarnContext(r.Context(), "web request failed", "method", r.Method, "status", status, "kind", p2p.KindOf(err).Error())
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	for _, name := range []string{"Content-Length", "Content-Range", "Content-Disposition", "ETag"} {
		w.Header().Del(name)
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(status)
		return
	}
	if wantsHTML(r) && h.errorPage(w, r, status, text, err) {
		return
	}
	writeText(w, status, text)
}

// route sends a request to what answers it.
func (h *Handler) route(w *answer, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		return problemf(http.StatusNotImplemented, "the method %s is not known here", printable(r.Method))
	}
	segments, slash, err := splitPath(r.URL.EscapedPath())
	if err != nil {
		return err
	}
	if len(segments) == 0 {
		return h.front(w, r)
	}
	switch first, rest := segments[0], segments[1:]; first {
	case "uri", "cap":
		if len(rest) == 0 {
			return h.unlinked(w, r)
		}
		q, err := h.newRequest(r, rest)
		if err != nil {
			return err
		}
		q.slash = slash
		return h.linked(w, q)
	case "named", "file":
		return h.named(w, r, rest)
	case "operations":
		return h.operation(w, r, rest)
	case "status":
		return h.status(w, r, rest)
	case "statistics":
		return h.statistics(w, r, rest)
	case "progress":
		return h.progress(w, r, rest)
	case "agree":
		return h.agree(w, r, rest)
	case strings.Trim(staticPath, "/"):
		return h.static(w, r, rest)
	}
	return problemf(http.StatusNotFound, "there is nothing at this address; files are under /uri/")
}

// methods refuses methods that are not offered at an address.
func methods(w http.ResponseWriter, r *http.Request, offered ...string) error {
	for _, m := range offered {
		if r.Method == m {
			return nil
		}
	}
	w.Header().Set("Allow", strings.Join(offered, ", "))
	return problemf(http.StatusMethodNotAllowed, "%s is not offered at this address", r.Method)
}

// answer knows whether it began.
type answer struct {
	http.ResponseWriter
	status int // 0 before it began
	n      uint64
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.n += uint64(n) //nolint:gosec // never negative
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// wantsHTML says whether a browser asks for something to look at.
func wantsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// writeText answers with a sentence.
func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain;charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // to a client that may be gone
}

// writeCap answers with a cap.
func writeCap(w http.ResponseWriter, status int, c caps.Cap) { writeText(w, status, c.Text()) }

// writeJSON answers with what Tahoe's JSON looks like.
func writeJSON(w http.ResponseWriter, v any) error {
	b, err := jsonText(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b) // to a client that may be gone
	return nil
}
