package web

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// maxForm is the most bytes of a form's fields, files apart.
const maxForm = 4 << 20

// args are the arguments of a request: its query and, for POST, its form are one
// set, query first.
type args struct {
	values url.Values
	// file is the "file" field of a form, or nil.
	file     *upload
	fileName string
}

// queryArgs are the arguments of the query alone.
func queryArgs(r *http.Request) (args, error) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return args{}, badRequest("the query is not encoded as it should be")
	}
	return args{values: v}, nil
}

// addForm adds the fields of a request's form, if its body is one. A file in it
// is kept by the spool; the caller closes a.file. isForm tells whether the body
// was taken.
func (a *args) addForm(r *http.Request, s *spool) (isForm bool, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return false, nil //nolint:nilerr // a body of no kind is no form
	}
	switch kind {
	case "application/x-www-form-urlencoded":
		body, err := readBounded(r.Body, maxForm)
		if err != nil {
			return true, err
		}
		v, err := url.ParseQuery(string(body))
		if err != nil {
			return true, badRequest("the form is not encoded as it should be")
		}
		a.add(v)
		return true, nil
	case "multipart/form-data":
		return true, a.addParts(r, s)
	}
	return false, nil
}

// addParts reads a form of parts as it streams by.
func (a *args) addParts(r *http.Request, s *spool) error {
	parts, err := r.MultipartReader()
	if err != nil {
		return badRequest("the form is not made as it should be")
	}
	left := int64(maxForm)
	for {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // exactly that, as NextPart promises
			return nil
		}
		if err != nil {
			return badRequest("the form broke off")
		}
		if part.FormName() == "file" && (part.FileName() != "" || a.file == nil) {
			if a.file != nil {
				return badRequest("the form has two files")
			}
			a.fileName = part.FileName()
			if a.file, err = s.take(r.Context(), part, -1, nil); err != nil {
				return err
			}
			continue
		}
		value, err := readBounded(part, left)
		if err != nil {
			return err
		}
		left -= int64(len(value)) + int64(len(part.FormName()))
		if left < 0 {
			return tooLarge(maxForm)
		}
		a.add(url.Values{part.FormName(): {string(value)}})
	}
}

// add puts values behind those that are there.
func (a *args) add(v url.Values) {
	for name, list := range v {
		a.values[name] = append(a.values[name], list...)
	}
}

// readBounded reads at most limit bytes.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1)) //nolint:forbidigo // bounded
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, tooLarge(limit)
	}
	return b, nil
}

func (a args) text(name string) string { return strings.TrimSpace(a.values.Get(name)) }

// t is the argument that says what is wanted.
func (a args) t() string { return a.text("t") }

// name is the argument that names a child: as it came, spaces included.
func (a args) name(arg string) (string, bool) {
	v, ok := a.values[arg]
	if !ok {
		return "", false
	}
	return v[0], true
}

// boolean reads an argument as Tahoe does; absent is otherwise.
func (a args) boolean(name string, otherwise bool) (bool, error) {
	text := a.text(name)
	switch strings.ToLower(text) {
	case "":
		return otherwise, nil
	case "true", "t", "1", "on":
		return true, nil
	case "false", "f", "0", "off":
		return false, nil
	}
	return false, badRequest("invalid %s= argument: %s", name, quoted(text))
}

// offset reads offset=; ok is false where there is none.
func (a args) offset() (n uint64, ok bool, err error) {
	text := a.text("offset")
	if text == "" {
		return 0, false, nil
	}
	if n, err = strconv.ParseUint(text, 10, 63); err != nil {
		return 0, false, badRequest("invalid offset= argument: %s", quoted(text))
	}
	return n, true, nil
}

// format is how a new file or directory is kept.
type format struct {
	kind  caps.Kind // caps.KindCHK, caps.KindSDMF or caps.KindMDMF
	given bool
}

// format reads format= and mutable=. Without either it is caps.KindCHK, and not
// given.
func (a args) format() (format, error) {
	text := a.text("format")
	switch strings.ToUpper(text) {
	case "CHK":
		return format{caps.KindCHK, true}, nil
	case "SDMF":
		return format{caps.KindSDMF, true}, nil
	case "MDMF":
		return format{caps.KindMDMF, true}, nil
	case "":
		mutable, err := a.boolean("mutable", false)
		if mutable {
			return format{caps.KindSDMF, true}, err
		}
		return format{kind: caps.KindCHK}, err
	}
	return format{}, badRequest("Unknown format: %s, I know CHK, SDMF, MDMF", printable(text))
}

// replace reads replace=, which may be only-files where that is allowed.
func (a args) replace() (tree.Replace, error) {
	if strings.EqualFold(a.text("replace"), "only-files") {
		return tree.ReplaceOnlyFiles, nil
	}
	yes, err := a.boolean("replace", true)
	if err != nil || yes {
		return tree.ReplaceAlways, err
	}
	return tree.ReplaceNever, nil
}

// quoted is a text of the client's own, shown back to it.
func quoted(s string) string { return "'" + printable(s) + "'" }

// printable is a text of the client's own without what confuses a terminal, cut
// where it gets long.
func printable(s string) string {
	const most = 200
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= most {
			b.WriteString("…")
			break
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}
