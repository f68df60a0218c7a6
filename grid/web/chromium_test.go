package web_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium, spoken to through two pipes.
type browser struct {
	t    *testing.T
	send io.WriteCloser
	dir  string // of its profile and downloads

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
	events  []chan event
	gone    bool
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

type event struct {
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// patience bounds everything that a test waits for in a browser.
const patience = 30 * time.Second

func newBrowser(t *testing.T) *browser {
	t.Helper()
	binary, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	fromBrowser, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	theirIn, toBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "trunkline-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, send: toBrowser, dir: dir, waiting: map[int]chan reply{}}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-GB", "--remote-debugging-pipe",
		"--user-data-dir="+filepath.Join(b.dir, "profile"), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.Env = append(os.Environ(), "TZ=UTC", "HOME="+b.dir)
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	var wg sync.WaitGroup
	wg.Go(func() { b.listen(fromBrowser) })
	t.Cleanup(func() {
		_ = b.call("", "Browser.close", nil, nil) // it may be gone before it says so
		toBrowser.Close()
		wg.Wait() // until the last of its processes has let go of the pipe
		cancel()
		_ = cmd.Wait()
		fromBrowser.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("left behind: %v", err)
		}
	})
	return b
}

// listen hands out what the browser says: JSON texts with a zero byte after each.
func (b *browser) listen(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			break
		}
		var m struct {
			ID int `json:"id"`
			reply
			event
		}
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if m.ID != 0 {
			if c := b.waiting[m.ID]; c != nil {
				delete(b.waiting, m.ID)
				c <- m.reply
			}
		} else {
			for _, c := range b.events {
				select {
				case c <- m.event:
				default: // nobody looks
				}
			}
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	for _, c := range b.waiting {
		close(c)
	}
}

// call asks the browser for something.
func (b *browser) call(session, method string, params map[string]any, result any) error {
	answer := make(chan reply, 1)
	b.mu.Lock()
	if b.gone {
		b.mu.Unlock()
		return fmt.Errorf("%s: the browser is gone", method)
	}
	b.next++
	id := b.next
	b.waiting[id] = answer
	m := map[string]any{"id": id, "method": method, "params": params}
	if params == nil {
		m["params"] = map[string]any{}
	}
	if session != "" {
		m["sessionId"] = session
	}
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.send.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case r, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: the browser is gone", method)
		case r.Error != nil:
			return fmt.Errorf("%s: %s", method, r.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(r.Result, result)
	case <-time.After(patience):
		return fmt.Errorf("%s: the browser does not answer", method)
	}
}

// tab is one page of the browser.
type tab struct {
	*browser
	session string
	seen    chan event
	errors  []string // what scripts and policies complained about
}

func (b *browser) tab() *tab {
	b.t.Helper()
	seen := make(chan event, 4096)
	b.mu.Lock()
	b.events = append(b.events, seen)
	b.mu.Unlock()
	var target struct{ TargetID string }
	b.must("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.must("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &tab{browser: b, session: attached.SessionID, seen: seen}
	for _, domain := range []string{"Page", "Runtime", "DOM", "Log", "Network"} {
		p.do(domain+".enable", nil)
	}
	b.must("", "Browser.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": b.downloads(), "eventsEnabled": true}, nil)
	p.size(1100, 820)
	return p
}

func (b *browser) downloads() string { return filepath.Join(b.dir, "downloads") }

func (b *browser) must(session, method string, params map[string]any, result any) {
	b.t.Helper()
	if err := b.call(session, method, params, result); err != nil {
		b.t.Fatal(err)
	}
}

func (p *tab) do(method string, params map[string]any) {
	p.t.Helper()
	p.must(p.session, method, params, nil)
}

func (p *tab) size(width, height int) {
	p.t.Helper()
	p.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
}

func (p *tab) dark(yes bool) {
	p.t.Helper()
	value := "light"
	if yes {
		value = "dark"
	}
	p.do("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": value}}})
}

// scripts turns the scripts of pages on or off.
func (p *tab) scripts(yes bool) {
	p.t.Helper()
	p.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": !yes})
}

// until waits for an event.
func (p *tab) until(what string, is func(event) bool) {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e := <-p.seen:
			p.note(e)
			if e.Session == p.session && is(e) {
				return
			}
		case <-timeout:
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// note keeps what went wrong in a page.
func (p *tab) note(e event) {
	switch e.Method {
	case "Runtime.exceptionThrown":
		p.errors = append(p.errors, string(e.Params))
	case "Log.entryAdded":
		var l struct {
			Entry struct{ Level, Source, Text, URL string }
		}
		if json.Unmarshal(e.Params, &l) == nil && l.Entry.Level == "error" {
			p.errors = append(p.errors, l.Entry.Source+": "+l.Entry.Text+" "+l.Entry.URL)
		}
	}
}

// drain forgets what happened so far.
func (p *tab) drain() {
	for {
		select {
		case e := <-p.seen:
			p.note(e)
		default:
			return
		}
	}
}

// load runs what makes the tab load another page, and waits until it is there.
func (p *tab) load(do func()) {
	p.t.Helper()
	p.drain()
	do()
	p.until("a page", func(e event) bool { return e.Method == "Page.loadEventFired" })
}

func (p *tab) open(url string) {
	p.t.Helper()
	p.load(func() { p.do("Page.navigate", map[string]any{"url": url}) })
}

// eval is what a script gives, as text.
func (p *tab) eval(script string) string {
	p.t.Helper()
	text, err := p.tryEval(script)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func (p *tab) tryEval(script string) (string, error) {
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	err := p.call(p.session, "Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &r)
	if err != nil {
		return "", err
	}
	if r.ExceptionDetails != nil {
		return "", fmt.Errorf("%s: %s", script, r.ExceptionDetails.Text)
	}
	return fmt.Sprint(r.Result.Value), nil
}

// becomes waits until a script gives what is wanted.
func (p *tab) becomes(script, want string) {
	p.t.Helper()
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); {
		// A page that is being replaced answers nothing.
		if text, err := p.tryEval(script); err == nil {
			if got = text; strings.Contains(got, want) {
				return
			}
		}
		time.Sleep(20 * time.Millisecond) // a page without scripts calls nobody
	}
	p.t.Fatalf("%s is %.300q, want %q", script, got, want)
}

// text is what a person reads in the page.
func (p *tab) text() string { return p.eval("document.body.innerText") }

// click clicks what a selector finds, and waits for the page that it leads to.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.load(func() { p.eval(fmt.Sprintf("document.querySelector(%q).click()", selector)) })
}

// choose puts local files into a file input.
func (p *tab) choose(selector string, names ...string) {
	p.t.Helper()
	var root struct{ Root struct{ NodeID int } }
	p.must(p.session, "DOM.getDocument", nil, &root)
	var found struct{ NodeID int }
	p.must(p.session, "DOM.querySelector", map[string]any{"nodeId": root.Root.NodeID, "selector": selector}, &found)
	p.do("DOM.setFileInputFiles", map[string]any{"nodeId": found.NodeID, "files": names})
}

// shot keeps a picture of the page, if somebody wants them: TRUNKLINE_SCREENSHOTS names the folder.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("TRUNKLINE_SCREENSHOTS")
	if dir == "" {
		return
	}
	var picture struct{ Data string }
	p.must(p.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &picture)
	b, err := base64.StdEncoding.DecodeString(picture.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), b, 0o600)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// clean fails the test if a page complained.
func (p *tab) clean() {
	p.t.Helper()
	p.drain()
	for _, e := range p.errors {
		p.t.Errorf("the page complains: %.500s", e)
	}
	p.errors = nil
}
