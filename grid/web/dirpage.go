package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"trunkline/grid/tree"
)

// rowsPerPage is how many children a page lists.
const rowsPerPage = 1000

// row is one child in a listing.
type row struct {
	Name, Type, Href, Badge string
	Size, Bytes             string
	Time, When              string
	Edit                    string
}

// column is one of the listing.
type column struct{ Label, Href, Class, Sorted string }

// page is a link to a part of a long listing; Href is "" for the one shown.
type pageLink struct{ Label, Href string }

// directoryPage lists a directory to a person.
func (h *Handler) directoryPage(w *answer, q *request, n tree.Node) error {
	if q.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	listing, err := q.tree.List(q.Context(), n.Cap())
	if err != nil {
		return err
	}
	home := q.tree.Files().Home()
	writable := !n.WriteCap().IsZero() && !h.far(home, n.Cap())
	order := q.args.text("sort")
	sortChildren(listing.Children, order)
	from, pages := q.pages(len(listing.Children), order)
	p := struct {
		base
		Crumbs                                    []crumb
		Heading, Sentence, Self, Count, Malformed string
		Writable, Checkable                       bool
		Rows                                      []row
		Columns                                   []column
		Pages                                     []pageLink
		Caps                                      []capRow
	}{
		base: h.newBase(q.heading("Directory")), Crumbs: q.crumbs("Directory"), Heading: q.heading("Directory"),
		Sentence: kindSentence(n), Self: q.self(), Writable: writable, Pages: pages, Columns: q.columns(order), Caps: capRows(n),
		Count: countText(len(listing.Children)),
	}
	if h.far(home, n.Cap()) {
		p.Sentence = "In another grid. " + p.Sentence
	} else {
		_, p.Checkable = n.VerifyCap()
	}
	for _, c := range listing.Children[from:min(len(listing.Children), from+rowsPerPage)] {
		p.Rows = append(p.Rows, h.row(q, c, writable))
	}
	if len(listing.Malformed) > 0 {
		var names []string
		for _, name := range listing.Malformed[:min(5, len(listing.Malformed))] {
			names = append(names, shownName(name))
		}
		p.Malformed = fmt.Sprintf("%s that cannot be used, and are kept as they are: %s", countText(len(listing.Malformed)), strings.Join(names, ", "))
	}
	return h.render(w, q.Request, http.StatusOK, "directory.html", p)
}

func countText(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return grouped(uint64(n)) + " entries" //nolint:gosec // never negative
}

// row is a child as it is listed.
func (h *Handler) row(q *request, c tree.Child, writable bool) row {
	r := row{Name: shownName(c.Name), Type: string(c.Type()), Size: "—"}
	if size, ok := c.Size(); ok {
		r.Size, r.Bytes = sizeText(size), grouped(size)
	}
	if t, ok := c.Metadata.Modified(); ok {
		r.Time, r.When = t.UTC().Format(time.RFC3339), t.UTC().Format("2 Jan 2006 15:04")
	}
	kind := c.Cap().Kind()
	switch {
	case kind.IsMutable() && c.Type() == tree.TypeFile && kind.CanWrite():
		r.Badge = "mutable"
	case kind.IsMutable() && !kind.CanWrite():
		r.Badge = "read-only"
	case kind.IsVerify():
		r.Badge = "verify cap"
	case c.Type() == tree.TypeUnknown:
		r.Badge = "later version"
	}
	switch c.Name {
	case "", ".", "..":
		// No path leads there.
		if !c.Cap().IsZero() {
			r.Href = joinPath("uri", h.opened.put(c.Cap()))
		}
	default:
		r.Href = q.self() + "/" + escapeSegment(c.Name)
	}
	if r.Href != "" && (c.Type() != tree.TypeDirectory || !kind.CanRead()) {
		r.Href += "?t=info"
	}
	if writable {
		r.Edit = q.self() + "?t=rename-form&name=" + url.QueryEscape(c.Name)
	}
	return r
}

// sortChildren puts children into the order that was asked for: by name as they
// come, directories first where nobody asked.
func sortChildren(children []tree.Child, order string) {
	by, down := strings.CutPrefix(order, "-")
	var compare func(a, b tree.Child) int
	switch by {
	case "size":
		compare = func(a, b tree.Child) int {
			x, _ := a.Size()
			y, _ := b.Size()
			return cmp.Compare(x, y)
		}
	case "time":
		compare = func(a, b tree.Child) int {
			x, _ := a.Metadata.Modified()
			y, _ := b.Metadata.Modified()
			return x.Compare(y)
		}
	case "name":
		compare = func(a, b tree.Child) int { return cmp.Compare(a.Name, b.Name) }
	default:
		first := func(c tree.Child) int {
			if c.Type() == tree.TypeDirectory {
				return 0
			}
			return 1
		}
		compare = func(a, b tree.Child) int { return cmp.Compare(first(a), first(b)) }
	}
	slices.SortStableFunc(children, func(a, b tree.Child) int {
		if down {
			a, b = b, a
		}
		return compare(a, b)
	})
}

// columns are the heads of the listing, each a link that sorts by it.
func (q *request) columns(order string) []column {
	out := []column{{Label: "Name", Class: "name"}, {Label: "Size", Class: "size"}, {Label: "Linked", Class: "when"}}
	for i, key := range []string{"name", "size", "time"} {
		next := key
		switch order {
		case key:
			out[i].Sorted, next = "ascending", "-"+key
		case "-" + key:
			out[i].Sorted = "descending"
		}
		out[i].Href = "?sort=" + next
	}
	return out
}

// pages cuts a long listing: where the page that was asked for begins, and the
// links to all of them.
func (q *request) pages(children int, order string) (from int, links []pageLink) {
	count := (children + rowsPerPage - 1) / rowsPerPage
	if count < 2 {
		return 0, nil
	}
	at, err := strconv.Atoi(q.args.text("page"))
	if err != nil || at < 1 || at > count {
		at = 1
	}
	for i := 1; i <= count; i++ {
		l := pageLink{Label: strconv.Itoa(i)}
		if i != at {
			l.Href = "?page=" + l.Label
			if order != "" {
				l.Href += "&sort=" + url.QueryEscape(order)
			}
		}
		links = append(links, l)
	}
	return (at - 1) * rowsPerPage, links
}

// renamePage asks how a child is to be called, or whether it is to be removed.
func (h *Handler) renamePage(w *answer, q *request, dir tree.Node) error {
	name, given := q.args.name("name")
	if !given {
		return badRequest("t=rename-form requires name=")
	}
	if dir.WriteCap().IsZero() {
		return tree.ErrReadOnly
	}
	crumbs := q.crumbs("Directory")
	crumbs[len(crumbs)-1].Href = q.self()
	return h.render(w, q.Request, http.StatusOK, "rename.html", struct {
		base
		Crumbs              []crumb
		Heading, Name, Self string
		Renameable          bool
	}{h.newBase("Rename or remove"), append(crumbs, crumb{Label: shownName(name)}), shownName(name), name, q.self(), !strings.Contains(name, "/")})
}

// share is one share on the page of a check.
type share struct {
	Num          int
	Class, Title string
}

// checkPage shows what a check found.
func (h *Handler) checkPage(w *answer, q *request, n tree.Node, c tree.Checked) error {
	p := struct {
		base
		Crumbs                               []crumb
		Heading, Class, Sentence, Self, Back string
		Facts                                []fact
		Shares                               []share
		ShareSentence                        string
		Repairable                           bool
		Troubles                             []string
	}{Crumbs: q.crumbs(q.rootLabel()), Self: q.self(), Back: q.self()}
	p.Crumbs[len(p.Crumbs)-1].Href = q.self()
	if n.Type() != tree.TypeDirectory {
		p.Back += "?t=info"
		p.Crumbs[len(p.Crumbs)-1].Href += "?t=info"
	}
	p.Crumbs = append(p.Crumbs, crumb{Label: "Health"})
	found := c.After
	_, repairable := n.RepairCap()
	p.Repairable = repairable && !c.Literal && !found.Healthy() && found.Recoverable()
	switch {
	case c.Literal:
		p.Heading, p.Class, p.Sentence = "Healthy", "good", "It is in its cap: there is nothing that could be lost."
	case c.Attempted && c.RepairErr == nil && found.Healthy():
		p.Heading, p.Class, p.Sentence = "Repaired", "good", "Every share is there again."
	case c.Attempted && c.RepairErr != nil:
		_, text := statusOf(c.RepairErr)
		p.Heading, p.Class, p.Sentence = "The repair failed", "bad", sentence(text)
	case found.Healthy():
		p.Heading, p.Class, p.Sentence = "Healthy", "good", "Every share is where it should be."
	case found.Recoverable():
		p.Heading, p.Class, p.Sentence = "Not healthy", "some", "It can be read, and should be repaired before more is lost."
	default:
		p.Heading, p.Class, p.Sentence = "Cannot be read now", "bad", "Too few shares were found. They may be on servers that did not answer."
	}
	p.base = h.newBase(p.Heading)
	if !c.Literal {
		p.Facts = []fact{
			{Label: "Shares", Value: fmt.Sprintf("%d of %d", len(found.Good), found.Expected), Note: fmt.Sprintf("any %d open it", found.Needed)},
			{Label: "Servers that could fail", Value: strconv.Itoa(max(0, found.Happiness-found.Needed)), Note: "without loss"},
			{Label: "Servers that answered", Value: fmt.Sprintf("%d of %d", len(found.Responded), len(found.Responded)+len(found.Failed))},
		}
		if len(found.Versions) > 1 {
			p.Facts = append(p.Facts, fact{Label: "Versions", Value: strconv.Itoa(len(found.Versions))})
		}
		p.ShareSentence = found.Summary()
		bad := map[int]bool{}
		for _, l := range found.Corrupt {
			bad[l.Num] = true
			reason := ""
			if l.Reason != nil {
				reason = ": " + l.Reason.Error()
			}
			p.Troubles = append(p.Troubles, fmt.Sprintf("share %d on server %s is damaged%s", l.Num, l.Server, reason))
		}
		for _, b := range found.Failed {
			p.Troubles = append(p.Troubles, b.String())
		}
		for i := range found.Expected {
			s := share{Num: i, Title: fmt.Sprintf("share %d is missing", i), Class: "lost"}
			if holders := found.Good[i]; len(holders) > 0 {
				s.Class, s.Title = "", fmt.Sprintf("share %d: %s", i, holders[0])
			} else if bad[i] {
				s.Class, s.Title = "bad", fmt.Sprintf("share %d is damaged", i)
			}
			p.Shares = append(p.Shares, s)
		}
	}
	return h.render(w, q.Request, http.StatusOK, "check.html", p)
}
