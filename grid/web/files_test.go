package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
	"trunkline/grid/web"
	"trunkline/p2p"
)

// cut is Files whose reads break off in the middle.
type cut struct{ tree.Files }

func (f cut) Read(ctx context.Context, c caps.Cap, begin func(uint64) (uint64, uint64, io.Writer, error)) error {
	return f.Files.Read(ctx, c, func(size uint64) (uint64, uint64, io.Writer, error) {
		offset, length, w, err := begin(size)
		if w != nil {
			w = &half{w, length / 2}
		}
		return offset, length, w, err
	})
}

type half struct {
	io.Writer
	left uint64
}

func (h *half) Write(p []byte) (int, error) {
	if uint64(len(p)) > h.left {
		n, _ := h.Writer.Write(p[:h.left])
		return n, p2p.ErrUnavailable
	}
	h.left -= uint64(len(p))
	return h.Writer.Write(p)
}

// A download that breaks off never looks whole.
func TestCutDownloads(t *testing.T) {
	t.Parallel()
	var files *treetest.Memory
	w := newWorld(t, func(c *web.Config) { c.Files = func(billing.Credits) tree.Files { return cut{files} } })
	files = w.files
	text := strings.Repeat("0123456789", 100000)
	file := w.put("/uri", text)
	for _, header := range []map[string]string{nil, {"Range": "bytes=100-900000"}} {
		_, got, err := w.try("GET", "/uri/"+file, "", header)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a cut download ended with %v after %d bytes", err, len(got))
		}
		if len(got) == 0 || !strings.Contains(text, got) || len(got) >= len(text) {
			t.Errorf("%d bytes came", len(got))
		}
	}
}

// What cannot be had is said before anything else is.
func TestLostFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	file := w.put("/uri", strings.Repeat("x", 100))
	w.files.World().Lose(w.cap(file), 0, 1, 2, 3, 4, 5, 6, 7)
	status, h, body := w.do("GET", "/uri/"+file, "", nil)
	if status != 410 || h.Get("Content-Length") != fmt.Sprint(len(body)) || h.Get("ETag") != "" || strings.Contains(body, "x") && len(body) == 100 {
		t.Errorf("status %d, %v: %s", status, h, body)
	}
	// A HEAD asks no server about a file whose cap tells all.
	before := w.files.World().Count("Read")
	if status, h, _ := w.do("HEAD", "/uri/"+file, "", nil); status != 200 || h.Get("Content-Length") != "100" {
		t.Errorf("HEAD: status %d, %v", status, h)
	}
	if n := w.files.World().Count("Read"); n != before {
		t.Errorf("HEAD read %d times", n-before)
	}
}

// A range of a file that may have changed is the whole of it.
func TestIfRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	file := w.put("/uri", strings.Repeat("0123456789", 10))
	mutable := w.put("/uri?format=MDMF", strings.Repeat("0123456789", 10))
	_, h, _ := w.do("GET", "/uri/"+file, "", nil)
	for _, c := range []struct {
		cap, held string
		status    int
	}{
		{file, h.Get("ETag"), 206},
		{file, `"` + h.Get("ETag") + `"`, 206},
		{file, "other", 200},
		{mutable, h.Get("ETag"), 200},
	} {
		status, _, _ := w.do("GET", "/uri/"+c.cap, "", map[string]string{"Range": "bytes=1-2", "If-Range": c.held})
		if status != c.status {
			t.Errorf("If-Range %q: status %d, want %d", c.held, status, c.status)
		}
	}
	if status, _, body := w.do("GET", "/uri/"+mutable, "", map[string]string{"Range": "bytes=95-"}); status != 206 || body != "56789" {
		t.Errorf("a mutable file's end: status %d, %q", status, body)
	}
}

// Uploads have a bound, and leave nothing behind.
func TestUploads(t *testing.T) {
	t.Parallel()
	temp := ""
	w := newWorld(t, func(c *web.Config) { c.MaxUpload, temp = 1<<20, c.TempDir })
	root := w.post("/uri?t=mkdir", "")
	w.put("/uri/"+root+"/most", strings.Repeat("x", 1<<20))
	w.want(413, "PUT", "/uri/"+root+"/more", strings.Repeat("x", 1<<20+1))
	w.want(404, "GET", "/uri/"+root+"/more", "")
	form := func(size int) string {
		return "--XX\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nupload\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\\\x\\\\f.txt\"\r\n\r\n" +
			strings.Repeat("y", size) + "\r\n--XX--\r\n"
	}
	kind := map[string]string{"Content-Type": "multipart/form-data; boundary=XX"}
	if status, _, body := w.do("POST", "/uri/"+root, form(1<<20), kind); status != 200 {
		t.Errorf("a form: status %d: %s", status, body)
	}
	if got := w.get("/uri/" + root + "/f.txt"); len(got) != 1<<20 {
		t.Errorf("the form's file has %d bytes", len(got))
	}
	if status, _, body := w.do("POST", "/uri/"+root, form(1<<20+1), kind); status != 413 {
		t.Errorf("a form that is too large: status %d: %s", status, body)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// An upload that breaks off stores and links nothing.
func TestCutUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	before := w.files.World().Stored()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(w.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(w.server.URL, "http://")
	fmt.Fprintf(conn, "PUT /uri/%s/part HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n%s", root, host, strings.Repeat("x", 400000))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	conn.Close()
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("a cut upload was answered with %s", answer)
	}
	w.want(404, "GET", "/uri/"+root+"/part?t=json", "")
	if n := w.files.World().Stored() - before; n != 0 {
		t.Errorf("%d files were stored", n)
	}
}

// Names that others chose are shown and reached as what they are, in JSON and in pages.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	names := []string{"", ".", "..", "a/b", "\x00", "new\nline", "\u202etxt.exe", `"><script>alert(1)</script>`, "%2F", "?t=json", "#x", "a b+c&d", "\u2028", "\U0001F600", strings.Repeat("n", 64<<10)}
	children := map[string]any{}
	for _, n := range names {
		children[n] = []any{"filenode", map[string]any{"ro_uri": "URI:LIT:nbuq"}}
	}
	body, err := json.Marshal(children)
	if err != nil {
		t.Fatal(err)
	}
	w.post("/uri/"+root+"?t=set_children", string(body))
	text := w.get("/uri/" + root + "?t=json")
	for i := range len(text) {
		if text[i] >= 0x7f || text[i] < ' ' && text[i] != '\n' {
			t.Fatalf("a listing has the byte %#x", text[i])
		}
	}
	var listing []json.RawMessage
	var dir struct{ Children map[string]json.RawMessage }
	if json.Unmarshal([]byte(text), &listing) != nil || json.Unmarshal(listing[1], &dir) != nil || len(dir.Children) != len(names) {
		t.Fatalf("the listing has %d children, want %d", len(dir.Children), len(names))
	}
	_, _, page := w.do("GET", "/uri/"+root, "", map[string]string{"Accept": "text/html"})
	for _, bad := range []string{"<script>alert", "\u202e", "\x00", "\u2028"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	// Each link of the page leads to the child.
	links := 0
	for _, part := range strings.Split(page, `<td class="name">`)[1:] {
		_, part, _ = strings.Cut(part, `<a href="`)
		link, _, _ := strings.Cut(part, `"`)
		path := strings.TrimSuffix(html.UnescapeString(link), "?t=info")
		if got := w.get(path); got != "hi" {
			t.Errorf("%.80s leads to %.80q", path, got)
		}
		links++
	}
	if links != len(names) {
		t.Errorf("%d links, want %d", links, len(names))
	}
}

// Caps of the wrong kind get a clear refusal and change nothing.
func TestWrongCaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	w.put("/uri/"+root+"/f", "x")
	read := w.get("/uri/" + root + "?t=readonly-uri")
	verify, _ := w.cap(root).VerifyCap()
	file := w.put("/uri", strings.Repeat("x", 100))
	fileVerify, _ := w.cap(file).VerifyCap()
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/uri/" + read + "/new", "x", 403},
		{"PUT", "/uri/" + read + "/new/deep", "x", 403},
		{"DELETE", "/uri/" + read + "/f", "", 403},
		{"POST", "/uri/" + read + "?t=unlink&name=f", "", 403},
		{"POST", "/uri/" + read + "?t=set_children", `{"a":["filenode",{"ro_uri":"URI:LIT:"}]}`, 403},
		{"POST", "/uri/" + read + "?t=rename&from_name=f&to_name=g", "", 403},
		{"GET", "/uri/" + verify.Text(), "", 400},
		{"GET", "/uri/" + verify.Text() + "/f", "", 400},
		{"GET", "/uri/" + fileVerify.Text(), "", 400},
		{"PUT", "/uri/" + fileVerify.Text(), "x", 400},
		{"GET", "/uri/" + file + "/x", "", 400},
		{"PUT", "/uri/" + file + "/x", "x", 409},
		{"GET", "/uri/URI:CHK:aaaaaaaaaaaaaaaaaaaaaaaaaa:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:3:999:10", "", 400},
		{"PUT", "/uri/" + root + "/x?t=uri", "URI:CHK:aaaaaaaaaaaaaaaaaaaaaaaaaa:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:9:3:10", 400},
		{"PUT", "/uri/" + root + "/x?t=uri", "", 400},
		{"GET", "/uri/o.nosuchhandle", "", 404},
		{"GET", "/uri/" + root + "/" + strings.Repeat("a/", 5000), "", 400},
		{"PUT", "/uri?private-key=!!", "x", 400},
		{"PUT", "/uri?mutable=true&private-key=AAAA", "x", 400},
		{"POST", "/uri/" + root + "?t=mkdir&name=a&replace=maybe", "", 400},
		{"POST", "/uri/" + root + "?t=start-manifest&ophandle=" + strings.Repeat("h", 300), "", 400},
		{"GET", "/operations/nosuch", "", 404},
		{"PUT", "/operations/x", "", 405},
	} {
		status, _, body := w.do(c.method, c.path, c.body, nil)
		if status != c.status {
			t.Errorf("%s %.120s: status %d, want %d: %.200s", c.method, c.path, status, c.status, body)
		}
	}
	if got := w.get("/uri/" + root + "?t=json"); strings.Count(got, "filenode") != 1 {
		t.Errorf("the directory has changed: %s", got)
	}
}

// A directory that contains itself is listed, walked and checked to its end.
func TestDirectoryInItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	w.do("PUT", "/uri/"+root+"/me?t=uri", root, nil)
	w.put("/uri/"+root+"/f", strings.Repeat("x", 100))
	if got := w.get("/uri/" + root + strings.Repeat("/me", 50) + "/f"); len(got) != 100 {
		t.Errorf("got %d bytes", len(got))
	}
	if got := w.post("/uri/"+root+"?t=stream-deep-check", ""); strings.Count(got, "\n") != 3 {
		t.Errorf("the walk is %s", got)
	}
}

// Operations end with the handler, are forgotten, and are bounded in number.
func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	block, begun := make(chan struct{}), make(chan struct{}, 100)
	w.files.World().Fail(func(op string, _ caps.Cap) error {
		if op == "Read" {
			begun <- struct{}{}
			<-block
		}
		return nil
	})
	for i := range 64 {
		w.want(302, "POST", fmt.Sprintf("/uri/%s?t=start-deep-stats&ophandle=h%d", root, i), "")
	}
	<-begun
	w.want(503, "POST", "/uri/"+root+"?t=start-deep-stats&ophandle=more", "")
	if got := w.get("/operations/h0?output=JSON"); !strings.Contains(got, `"finished": false`) {
		t.Errorf("an operation that runs says %s", got)
	}
	w.post("/operations/h0?t=cancel", "")
	close(block)
	for range 10000 {
		if strings.Contains(w.get("/operations/h1?output=JSON"), `"finished": true`) {
			break
		}
	}
	w.get("/operations/h1?output=JSON&release-after-complete=true")
	w.want(404, "GET", "/operations/h1?output=JSON", "")
}

// What cannot change has a tag that says so, and is not sent twice; what can, and what is in its cap, has none.
func TestTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	file := w.put("/uri", strings.Repeat("x", 100))
	dir := w.post("/uri?t=mkdir-immutable", `{"x":["filenode",{"ro_uri":"`+file+`"}]}`)
	index := func(c string) string {
		si, _ := w.cap(c).StorageIndex()
		return si.String()
	}
	for path, want := range map[string]string{
		"/uri/" + file:                                   index(file) + "-",
		"/uri/" + file + "?t=json":                       index(file) + "-json",
		"/uri/" + dir + "?t=json":                        "DIR:" + index(dir) + "-json",
		"/uri/" + dir + "?t=uri":                         "DIR:" + index(dir) + "-uri",
		"/uri/" + dir + "/x":                             index(file) + "-",
		"/uri/URI:LIT:nbuq":                              "",
		"/uri/" + w.put("/uri?mutable=true", "x"):        "",
		"/uri/" + w.post("/uri?t=mkdir", "") + "?t=json": "",
	} {
		_, h, _ := w.do("GET", path, "", nil)
		if got := h.Get("ETag"); got != want {
			t.Errorf("%.40s…: the tag is %q, want %q", path, got, want)
		}
		if want == "" {
			continue
		}
		if status, _, body := w.do("GET", path, "", map[string]string{"If-None-Match": `"other", ` + want}); status != 304 || body != "" {
			t.Errorf("%.40s…: status %d for what the client has", path, status)
		}
	}
}
