package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
	"trunkline/grid/web"
	"trunkline/p2p"
	"trunkline/p2p/durable"
)

// perRead is what one read across grids costs in these tests.
const perRead = 1000

// toll is a world in which reading in the area "dear" costs money.
type toll struct {
	*world
	near, dear, free *treetest.Memory
	mu               sync.Mutex
	limits           []billing.Credits // of the reads that were paid
}

func newToll(t *testing.T, change func(*web.Config)) *toll {
	t.Helper()
	grids := treetest.NewWorld()
	w := &toll{near: grids.Member(treetest.Area(1)), dear: grids.Member(treetest.Area(2)), free: grids.Member(treetest.Area(3))}
	w.world = newWorld(t, func(c *web.Config) {
		c.Files = func(limit billing.Credits) tree.Files { return tolled{w.near, w, limit} }
		c.Price = func(_ context.Context, c caps.Cap, _ uint64) (web.Price, error) {
			if !slices.Contains(c.Areas(), treetest.Area(2)) {
				return web.Price{TollFree: true}, nil
			}
			return web.Price{Currency: "EUR", PerGiB: 10_000, Cost: perRead}, nil
		}
		c.CeilingHint = "set web.ceiling"
		if change != nil {
			change(c)
		}
	})
	w.files = w.near
	return w
}

// tolled is the client's side of it: it refuses what goes over its limit.
type tolled struct {
	tree.Files
	w     *toll
	limit billing.Credits
}

func (f tolled) Read(ctx context.Context, c caps.Cap, begin func(uint64) (uint64, uint64, io.Writer, error)) error {
	if slices.Contains(c.Areas(), treetest.Area(2)) {
		if f.limit < perRead {
			return fmt.Errorf("too dear: %w", p2p.ErrRefused)
		}
		f.w.mu.Lock()
		f.w.limits = append(f.w.limits, f.limit)
		f.w.mu.Unlock()
	}
	return f.Files.Read(ctx, c, begin)
}

func (w *toll) paid() []billing.Credits {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.limits)
}

// file stores a file in one of the grids and returns its long-distance cap.
func (w *toll) file(m *treetest.Memory, content string) string {
	w.t.Helper()
	c, err := m.PutImmutable(context.Background(), strings.NewReader(content), uint64(len(content)))
	if err == nil {
		c, err = c.WithAreas(m.Home())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Text()
}

// directory makes a chain of directories, each with the next in it under the name "d", and returns the first's read cap.
func (w *toll) directory(m *treetest.Memory, depth int) string {
	w.t.Helper()
	ctx := context.Background()
	t := tree.New(tree.Config{Files: m})
	below := caps.Cap{}
	for range depth {
		dir, err := t.Mkdir(ctx, caps.KindSDMF)
		if err != nil {
			w.t.Fatal(err)
		}
		if !below.IsZero() {
			if _, err := t.Link(ctx, dir, tree.NewChild{Name: "d", Pair: caps.Pair{Write: below}}, tree.ReplaceNever); err != nil {
				w.t.Fatal(err)
			}
		}
		below = dir
	}
	read, err := below.ReadOnly()
	if err == nil {
		read, err = read.Local().WithAreas(m.Home())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return read.Text()
}

func (w *toll) agree(area caps.AreaCode) int {
	w.t.Helper()
	status, _, _ := w.do("POST", "/agree", url.Values{"area": {area.String()}}.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	return status
}

const content = "sixty bytes or so, which is too much for a literal capability"

// Without a ceiling nothing is paid, whoever agreed to what; what costs nothing is served.
func TestMoneyIsOffUntilACeilingIsSet(t *testing.T) {
	t.Parallel()
	w := newToll(t, nil)
	dear, free, near := w.file(w.dear, content), w.file(w.free, content), w.file(w.near, content)
	if status := w.agree(treetest.Area(2)); status != 303 {
		t.Fatalf("agreeing: status %d", status)
	}
	for _, method := range []string{"GET", "POST"} {
		path := "/uri/" + dear
		if method == "POST" {
			path = "/uri/" + w.directory(w.dear, 1) + "/x?t=check&output=JSON"
		}
		if answer := w.want(402, method, path, ""); !strings.Contains(answer, "set web.ceiling") {
			t.Errorf("%s: %s", method, answer)
		}
	}
	if answer := w.want(402, "GET", "/uri/"+w.directory(w.dear, 1)+"?t=json", ""); !strings.Contains(answer, `"error"`) {
		t.Errorf("a listing says %s", answer)
	}
	for _, c := range []string{free, near} {
		if got := w.get("/uri/" + c); got != content {
			t.Errorf("got %q", got)
		}
	}
	if paid := w.paid(); len(paid) > 0 {
		t.Errorf("paid %v", paid)
	}
}

// The first paid call to an area needs a person's word, given by POST; then the ceiling holds.
func TestMoneyNeedsAPersonsWord(t *testing.T) {
	t.Parallel()
	w := newToll(t, func(c *web.Config) { c.Ceiling = 5000 })
	dear := w.file(w.dear, content)
	if answer := w.want(402, "GET", "/uri/"+dear, ""); !strings.Contains(answer, "nobody has agreed") {
		t.Error(answer)
	}
	w.want(405, "GET", "/agree?area="+treetest.Area(2).String(), "")
	w.want(405, "PUT", "/agree?area="+treetest.Area(2).String(), "")
	w.want(400, "POST", "/agree?area=k51junk", "")
	w.want(400, "POST", "/agree", "")
	for _, to := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "/\n/evil.example"} {
		w.want(400, "POST", "/agree?area="+treetest.Area(3).String()+"&when_done="+url.QueryEscape(to), "")
	}
	w.want(402, "GET", "/uri/"+dear, "")
	if paid := w.paid(); len(paid) > 0 {
		t.Fatalf("paid %v before anybody agreed", paid)
	}
	if status := w.agree(treetest.Area(2)); status != 303 {
		t.Fatalf("agreeing: status %d", status)
	}
	if got := w.get("/uri/" + dear); got != content {
		t.Errorf("got %q", got)
	}
	if paid := w.paid(); !slices.Equal(paid, []billing.Credits{5000}) {
		t.Errorf("paid within %v", paid)
	}
	// A cap that may also be fetched where nobody agreed.
	both, err := w.cap(dear).WithAreas(treetest.Area(2), treetest.Area(4))
	if err != nil {
		t.Fatal(err)
	}
	w.want(402, "GET", "/uri/"+both.Text(), "")
}

// All reads of one request together stay under the ceiling.
func TestCeilingIsForTheWholeRequest(t *testing.T) {
	t.Parallel()
	w := newToll(t, func(c *web.Config) { c.Ceiling = 5 * perRead })
	w.agree(treetest.Area(2))
	deep := w.directory(w.dear, 20)
	if answer := w.want(402, "GET", "/uri/"+deep+strings.Repeat("/d", 12)+"?t=json", ""); !strings.Contains(answer, "ceiling") {
		t.Error(answer)
	}
	if paid := w.paid(); len(paid) != 5 || paid[0] != 5*perRead || paid[4] != perRead {
		t.Errorf("paid within %v", paid)
	}
	if answer := w.want(200, "POST", "/uri/"+deep+"?t=stream-manifest", ""); !strings.Contains(answer, "\nERROR: ") || strings.Contains(answer, `"stats"`) {
		t.Errorf("a walk that was too dear ends with %.300q", answer)
	}
	if paid := w.paid(); len(paid) != 10 {
		t.Errorf("paid %d times", len(paid))
	}
	// The next request begins anew.
	w.get("/uri/" + deep + "?t=json")
}

// Who knows no price counts the whole ceiling for one read.
func TestUnknownPrice(t *testing.T) {
	t.Parallel()
	w := newToll(t, func(c *web.Config) {
		c.Ceiling = 5 * perRead
		c.Price = func(context.Context, caps.Cap, uint64) (web.Price, error) {
			return web.Price{}, errors.New("nobody answers")
		}
	})
	w.agree(treetest.Area(2))
	w.want(402, "GET", "/uri/"+w.directory(w.dear, 3)+"/d?t=json", "")
	if paid := w.paid(); len(paid) != 1 {
		t.Errorf("paid within %v", paid)
	}
}

// A page asks before the first paid call, and shows what it costs.
func TestPagesAskBeforeACallCosts(t *testing.T) {
	t.Parallel()
	w := newToll(t, func(c *web.Config) { c.Ceiling = 5000 })
	dear := w.file(w.dear, content)
	html := map[string]string{"Accept": "text/html"}
	for _, path := range []string{"/uri/" + dear + "?t=info", "/uri/" + dear, "/uri/" + w.directory(w.dear, 1)} {
		_, _, body := w.do("GET", path, "", html)
		if !strings.Contains(body, `action="/agree"`) || !strings.Contains(body, treetest.Area(2).String()) || !strings.Contains(body, "EUR") {
			t.Errorf("GET %.20s… does not ask: %.2000s", path, body)
		}
		if strings.Contains(body, "save=true") {
			t.Errorf("GET %.20s… offers the download before it was agreed to", path)
		}
	}
	if paid := w.paid(); len(paid) > 0 {
		t.Errorf("looking has paid %v", paid)
	}
	w.agree(treetest.Area(2))
	if _, _, body := w.do("GET", "/uri/"+dear+"?t=info", "", html); strings.Contains(body, `action="/agree"`) || !strings.Contains(body, "save=true") || !strings.Contains(body, "0.001") {
		t.Errorf("after agreeing the page is %s", body)
	}
}

// Agreements that are kept in a file outlast the process.
func TestOpenAgreements(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "agreed.json")
	a, err := web.OpenAgreements(path)
	if err != nil {
		t.Fatal(err)
	}
	one, two := treetest.Area(1), treetest.Area(2)
	if a.Has(one) {
		t.Error("it begins with an area")
	}
	for range 2 {
		if err := a.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	if a, err = web.OpenAgreements(path); err != nil || !a.Has(one) || a.Has(two) {
		t.Errorf("opened again: %v", err)
	}
	if err := os.WriteFile(path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := web.OpenAgreements(path); !errors.Is(err, durable.ErrState) {
		t.Errorf("a damaged file: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := a.Add(two); err == nil || a.Has(two) {
		t.Errorf("what could not be kept is remembered: %v", err)
	}
}
