package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"trunkline/caps"
)

// exchange is one request that a real Tahoe node was sent, and its answer.
type exchange struct {
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Sent     map[string]string `json:"request_headers"`
	Body     string            `json:"request_body"`
	Status   int               `json:"status"`
	Received map[string]string `json:"response_headers"`
	Answer   *string           `json:"response_body"`
}

// differences are where we answer otherwise than Tahoe, by the exchange's number.
var differences = map[int]struct {
	status int
	why    string
}{
	44:  {403, "a read-only directory is a refusal, not our failure"},
	45:  {403, "the same"},
	46:  {403, "the same"},
	65:  {400, "a name that is not UTF-8 is the client's mistake"},
	70:  {400, "so are children that are not JSON"},
	77:  {400, "a directory cannot be deleted by its own cap"},
	103: {200, "what a verify cap is can be told"},
	104: {200, "a verify cap is enough for a check"},
	126: {400, "an immutable file is not written to"},
	127: {400, "nor deleted by its own cap"},
}

// worded are those whose sentence is ours, since Tahoe's speaks of its own insides.
var worded = map[int]bool{32: true, 34: true, 38: true, 57: true, 69: true}

// Every request that was sent to a real node gets the same answer from us: status, headers, and
// what the body says, where caps and times stand for each other.
func TestObserved(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(vectorsDir(t), "webapi-observed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct{ Exchanges []exchange }
	if err := json.Unmarshal(raw, &recorded); err != nil || len(recorded.Exchanges) < 100 {
		t.Fatalf("reading the exchanges: %d, %v", len(recorded.Exchanges), err)
	}
	w := newWorld(t, nil)
	chk := w.put("/uri", strings.Repeat("0123456789", 100))
	root := w.post("/uri?t=mkdir", "")
	w.do("PUT", "/uri/"+root+"/a.bin?t=uri", chk, nil)
	w.do("PUT", "/uri/"+root+"/mut?format=SDMF", "hello\n", nil)
	w.do("POST", "/uri/"+root+"/newdir?t=mkdir", "", nil)
	w.do("POST", "/uri/"+root+"/d1?t=mkdir", "", nil)

	twins := &twins{ours: map[string]string{}}
	twins.learn("{ROOT}", root)
	twins.learn("{CHK}", chk)
	c, err := caps.Parse(chk)
	if err != nil {
		t.Fatal(err)
	}
	si, _ := c.StorageIndex()
	twins.learn("b3tqzccldlngh3rlm7g43sw6nu", si.String())
	verify, _ := c.VerifyCap()
	twins.learn("URI:CHK-Verifier:b3tqzccldlngh3rlm7g43sw6nu:kndfikk2ecx6vq3ls64ccyubxkyjaq7uutyu5bqytzi446suuvxa:3:10:1000", verify.Text())
	for i, e := range recorded.Exchanges {
		sent := map[string]string{}
		for k, v := range e.Sent {
			sent[k] = twins.translate(v)
		}
		got, header, body := w.do(e.Method, twins.translate(e.Path), twins.translate(e.Body), sent)
		// Ours may not have finished when it is asked the first time.
		for range 10000 {
			if e.Method != http.MethodGet || !strings.HasPrefix(e.Path, "/operations/") || got != 200 || strings.Contains(body, `"finished": true`) || strings.Contains(body, "finished: yes") {
				break
			}
			got, header, body = w.do(e.Method, e.Path, "", sent)
		}
		name := fmt.Sprintf("exchange %d, %s %s", i, e.Method, e.Path)
		want := e.Status
		if d, ok := differences[i]; ok {
			want = d.status
		}
		if got != want {
			t.Errorf("%s: status %d, want %d: %.300s", name, got, want, body)
			continue
		}
		if got != e.Status {
			continue
		}
		for _, h := range []string{"Accept-Ranges", "Content-Range", "Content-Disposition"} {
			if header.Get(h) != e.Received[h] && (got != 416 || h != "Content-Range") {
				t.Errorf("%s: %s is %q, want %q", name, h, header.Get(h), e.Received[h])
			}
		}
		// An error is no version of anything.
		if tag := twins.translate(e.Received["ETag"]); got < 400 && header.Get("ETag") != tag && e.Method != http.MethodHead {
			t.Errorf("%s: ETag is %q, want %q", name, header.Get("ETag"), tag)
		}
		if to := strings.TrimPrefix(twins.translate(e.Received["Location"]), "{NODE}"); header.Get("Location") != to {
			t.Errorf("%s: Location is %q, want %q", name, header.Get("Location"), to)
		}
		if strings.Contains(e.Path, "aaaaaaaaaaaa") && e.Method == http.MethodPost {
			continue // another grid's servers
		}
		if e.Answer == nil {
			continue
		}
		if kind, ours := mediaType(e.Received), header.Get("Content-Type"); got == 200 && e.Answer != nil && !strings.HasPrefix(ours, kind) {
			// Tahoe calls every cap HTML, which it is not.
			if kind != "text/html" || !strings.HasPrefix(ours, "text/plain") {
				t.Errorf("%s: it is called %q, want %q", name, ours, kind)
			}
		}
		if worded[i] {
			continue
		}
		if err := twins.compare(*e.Answer, body); err != nil {
			t.Errorf("%s: %v\n got %.1500s\nwant %.1500s", name, err, body, *e.Answer)
		}
	}
}

func mediaType(h map[string]string) string {
	kind, _, _ := strings.Cut(h["Content-Type"], ";")
	return kind
}

// twins are caps of the recording and those that stand for them here.
type twins struct{ ours map[string]string }

func (w *twins) learn(theirs, ours string) { w.ours[theirs] = ours }

// token is a cap, or a storage index that stands alone.
var token = regexp.MustCompile(`URI:(?:LIT|DIR2-LIT):[a-z2-7]*|URI:[A-Z0-9]+(?:-[A-Za-z0-9]+)*:[a-z2-7]{26}:[a-z2-7]{52}(?::\d+:\d+:\d+)?|\{ROOT\}|\{CHK\}|[a-z2-7]{26}`)

// translate puts our caps in the place of the recording's. Those that were never seen stay.
func (w *twins) translate(s string) string {
	return token.ReplaceAllStringFunc(strings.ReplaceAll(s, "%3A", ":"), func(theirs string) string {
		if ours, ok := w.ours[theirs]; ok {
			return ours
		}
		return theirs
	})
}

// compare holds a body against the recording's. JSON is compared by what it says, other texts word
// for word. Where a cap stands that was not seen before, its twin is learned.
func (w *twins) compare(theirs, ours string) error {
	theirs = strings.ReplaceAll(theirs, "{TIME}", "123.5")
	var a, b any
	if json.Unmarshal([]byte(theirs), &a) == nil && json.Unmarshal([]byte(ours), &b) == nil {
		return w.same("", a, b)
	}
	return w.sameText("body", theirs, ours)
}

func (w *twins) same(at string, a, b any) error {
	switch a := a.(type) {
	case map[string]any:
		o, ok := b.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %T, want an object", at, b)
		}
		if strings.HasSuffix(at, ".sharemap") && len(a) == len(o) {
			return nil // servers and versions of their own
		}
		if _, theirs := a["counters"]; theirs && o["counters"] != nil && o["stats"] != nil {
			return nil // what is counted is a node's own
		}
		for k := range o {
			if _, ok := a[k]; !ok {
				return fmt.Errorf("%s has %q, which was not to be", at, k)
			}
		}
		for k := range a {
			if _, ok := o[k]; !ok {
				return fmt.Errorf("%s lacks %q", at, k)
			}
			if err := w.same(at+"."+k, a[k], o[k]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		o, ok := b.([]any)
		if !ok || len(o) != len(a) {
			return fmt.Errorf("%s is %v, want %d elements", at, b, len(a))
		}
		if strings.HasSuffix(at, ".servers-responding") || at == ".verifycaps" || at == ".storage-index" {
			return nil // their order means nothing
		}
		for i := range a {
			if err := w.same(fmt.Sprintf("%s[%d]", at, i), a[i], o[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		o, ok := b.(string)
		if !ok {
			return fmt.Errorf("%s is %v, want a text", at, b)
		}
		return w.sameText(at, a, o)
	case float64:
		o, ok := b.(float64)
		switch {
		case !ok:
			return fmt.Errorf("%s is %v, want a number", at, b)
		case strings.HasPrefix(at[strings.LastIndexByte(at, '.')+1:], "link"):
			return nil
		case strings.HasSuffix(at, "size-directories"), strings.HasSuffix(at, "largest-directory"):
			if o <= 0 {
				return fmt.Errorf("%s is %v", at, o)
			}
			return nil
		case a != o:
			return fmt.Errorf("%s is %v, want %v", at, o, a)
		}
		return nil
	}
	if !reflect.DeepEqual(a, b) {
		return fmt.Errorf("%s is %v, want %v", at, b, a)
	}
	return nil
}

// sameText compares texts with their caps and storage indexes put in place.
func (w *twins) sameText(at, theirs, ours string) error {
	a, b := token.FindAllString(theirs, -1), token.FindAllString(ours, -1)
	for i := range min(len(a), len(b)) {
		if _, known := w.ours[a[i]]; !known && kindOf(a[i]) == kindOf(b[i]) && a[i] != b[i] {
			w.learn(a[i], b[i])
		}
	}
	if want := w.translate(theirs); want != ours {
		return fmt.Errorf("%s is %q, want %q", at, ours, want)
	}
	return nil
}

func kindOf(s string) string {
	c, err := caps.Parse(s)
	if err != nil {
		return strconv.Itoa(len(s))
	}
	return c.Kind().String()
}
