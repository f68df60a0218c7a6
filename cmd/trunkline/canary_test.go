package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"trunkline/caps"
)

// noise is size bytes that look random and depend on the seed alone.
func noise(seed string, size int) []byte {
	h := fnv.New64a()
	h.Write([]byte(seed))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// json FILE: the file is one JSON value; with a regexp, its compact form matches.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: json FILE [REGEXP]")
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(ts.ReadFile(args[0]))); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	if len(args) == 2 && !regexp.MustCompile(args[1]).Match(b.Bytes()) {
		ts.Fatalf("no match for %s in %s", args[1], b.Bytes())
	}
}

// findSecrets looks for read keys where they have no business. What scripts print caps to is named *.cap or
// *.cap.json; no other file under dir, logs and books of the nodes included, may hold the key of one, in any of the
// forms it could have come there.
func findSecrets(dir string) []string {
	var complaints []string
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		files[path] = raw
		return err
	})
	if err != nil {
		return []string{err.Error()}
	}
	type secret struct {
		file  string
		forms [][]byte
	}
	var secrets []secret
	// What a client keeps of its own lies in private folders: aliases, the database of backups.
	isCap := func(path string) bool {
		return strings.HasSuffix(path, ".cap") || strings.HasSuffix(path, ".cap.json") || filepath.Base(filepath.Dir(path)) == "private"
	}
	for path, raw := range files {
		if !isCap(path) {
			continue
		}
		for _, text := range regexp.MustCompile(`URI:[^\s"]+`).FindAll(raw, -1) {
			c, err := caps.Parse(string(text))
			if err != nil {
				continue // a script's bad cap
			}
			for _, key := range keysOf(c) {
				secrets = append(secrets, secret{path, [][]byte{
					[]byte(caps.EncodeBase32(key[:])), []byte(hex.EncodeToString(key[:])), key[:],
				}})
			}
		}
	}
	for path, raw := range files {
		if isCap(path) {
			continue
		}
		for _, s := range secrets {
			for _, form := range s.forms {
				if bytes.Contains(raw, form) {
					complaints = append(complaints, fmt.Sprintf("%s holds the read key of the cap in %s", path, filepath.Base(s.file)))
				}
			}
		}
	}
	return complaints
}

// keysOf are the keys that a cap holds, and those that follow from them.
func keysOf(c caps.Cap) (keys [][16]byte) {
	if chk, ok := c.CHK(); ok {
		keys = append(keys, chk.Key().Bytes())
	}
	if w, ok := c.WriteKey(); ok {
		keys = append(keys, w.Bytes())
	}
	if r, ok := c.MutableReadKey(); ok {
		keys = append(keys, r.Bytes())
	}
	return keys
}

// readLog reads what all commands of a script wrote to standard error, as a strict reader of prose would, and the
// race detector's reports.
func readLog(record string) []string {
	var complaints []string
	races, _ := filepath.Glob(filepath.Join(record, "race*"))
	for _, path := range races {
		raw, _ := os.ReadFile(path)
		complaints = append(complaints, "data race:\n"+string(raw))
	}
	raw, _ := os.ReadFile(filepath.Join(record, "stderr"))
	for line := range strings.Lines(string(raw)) {
		if why := badSentence(strings.TrimRight(line, "\n")); why != "" {
			complaints = append(complaints, fmt.Sprintf("standard error: %s: %s", why, line))
		}
	}
	return complaints
}

// inners are words of the machinery. They tell a person nothing.
var inners = regexp.MustCompile(`context (canceled|deadline exceeded)|rpc|proto:|nil pointer|%!|failed to dial|multistream|i/o timeout|\bEOF\b|0x[0-9a-f]{4,}|\bgoroutine\b|panic:|LEAK:|sql:|SQLITE|json: | toml: |struct field|strconv|\b(caps|chk|fec|p2p|longdistance|sealed|ledger|billing): [a-z]`)

// badSentence says what is wrong with a line meant for people. Lines of a log, which are JSON, pass.
func badSentence(line string) string {
	if strings.HasPrefix(line, "{") {
		return ""
	}
	text, ok := "", false
	for _, prefix := range []string{"trunkline: error: ", "trunkline: hint: ", "trunkline: warning: "} {
		if text, ok = strings.CutPrefix(line, prefix); ok {
			break
		}
	}
	switch {
	case !ok && (strings.HasPrefix(line, "LEAK") || strings.HasPrefix(line, "trunkline:")):
		return "a line of another kind"
	case !ok:
		return ""
	case text == "" || strings.TrimSpace(text) != text:
		return "blank"
	case strings.HasSuffix(text, "."):
		return "full stop"
	case regexp.MustCompile(`^[A-Z][a-z]`).MatchString(text):
		return "begins with a capital"
	case strings.Count(text, "peer answered") > 1:
		return "nested answers"
	case len(text) > 420:
		return fmt.Sprintf("%d characters", len(text))
	case inners.MatchString(text):
		return fmt.Sprintf("%q is of the machinery", inners.FindString(text))
	}
	for part := range strings.SplitSeq(text, ": ") {
		if strings.Count(": "+text+": ", ": "+part+": ") > 1 {
			return fmt.Sprintf("says %q twice", part)
		}
	}
	return ""
}

// The checks at the end of a script must be able to fail.
func TestCanary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := caps.NewReadKey([16]byte([]byte("an unlucky key..")))
	c, err := caps.NewCHKRead(key, caps.Hash{1}, 3, 10, 1234)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.cap", c.Cap().Text()+"\n")
	write("clean.log", c.Cap().String())
	if got := findSecrets(dir); len(got) != 0 {
		t.Fatalf("a clean directory: %q", got)
	}
	raw := key.Bytes()
	for name, text := range map[string]string{
		"whole.log": "reading " + c.Cap().Text(),
		"hex.log":   hex.EncodeToString(raw[:]),
		"raw.db":    "\x00" + string(raw[:]) + "\x00",
	} {
		write(name, text)
		if got := findSecrets(dir); len(got) != 1 {
			t.Errorf("%s: %q", name, got)
		}
		write(name, "")
	}
}

func TestBadSentence(t *testing.T) {
	t.Parallel()
	for line, bad := range map[string]bool{
		"trunkline: error: no contact point of area k51… answered; try later": false,
		"trunkline: hint: try later":                                              false,
		`{"level":"INFO","msg":"context canceled."}`:                              false,
		"asked the directory of hashes: no answer":                                false,
		"trunkline: error: It failed":                                             true,
		"trunkline: error: it failed.":                                            true,
		"trunkline: error: peer answered: peer answered: no":                      true,
		"trunkline: error: reading: context deadline exceeded":                    true,
		"trunkline: error: not found: open x: not found":                          true,
		"trunkline: error: ":                                                      true,
		"trunkline: oops":                                                         true,
		"trunkline: error: longdistance: voucher is stale":                        true,
		"LEAK: found unexpected goroutines":                                       true,
		"trunkline: error: " + strings.Repeat("and so on ", 50) + "and so forth":  true,
		"trunkline: error: configuration: trunkline.toml, line 3, column 1: what": false,
	} {
		if got := badSentence(line); (got != "") != bad {
			t.Errorf("%q: complaint %q, want one: %v", line, got, bad)
		}
	}
}
