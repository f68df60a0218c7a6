package web

import (
	"fmt"
	"slices"
	"strconv"

	"trunkline/grid/transfer"
	"trunkline/grid/tree"
)

// checkOptions reads the arguments of a check.
func (a args) checkOptions() (o tree.CheckOptions, err error) {
	for name, b := range map[string]*bool{"verify": &o.Verify, "repair": &o.Repair, "add-lease": &o.AddLease} {
		if *b, err = a.boolean(name, false); err != nil {
			return o, err
		}
	}
	return o, nil
}

// check answers t=check.
//
// Source: tahoe-formats 9.6.
func (h *Handler) check(w *answer, q *request, n tree.Node) error {
	o, err := q.args.checkOptions()
	if err != nil {
		return err
	}
	if q.bad != nil && len(q.path) == 0 {
		return badRequest("POST to file: bad t=check: the cap cannot be used: %w", q.bad)
	}
	c, err := q.tree.Check(q.Context(), n, o)
	if err != nil {
		return err
	}
	if q.args.text("output") == "JSON" || !wantsHTML(q.Request) {
		return writeJSON(w, checkedJSON(c, o.Repair))
	}
	return h.checkPage(w, q, n, c)
}

// checkedJSON is what a check found, as Tahoe tells it.
func checkedJSON(c tree.Checked, repair bool) object {
	if c.Literal {
		return object{{"storage-index", ""}, {"results", object{{"healthy", true}}}}
	}
	if !repair {
		return healthJSON(c.Before)
	}
	return repairJSON(c)
}

func repairJSON(c tree.Checked) object {
	return object{
		{"storage-index", indexOf(c.Before)},
		{"repair-attempted", c.Attempted},
		{"repair-successful", c.Attempted && c.RepairErr == nil && c.After.Healthy()},
		{"pre-repair-results", healthJSON(c.Before)},
		{"post-repair-results", healthJSON(c.After)},
	}
}

func indexOf(h transfer.Health) string {
	si, ok := h.Cap.StorageIndex()
	if !ok {
		return ""
	}
	return si.String()
}

// healthJSON is one health as Tahoe tells it.
func healthJSON(h transfer.Health) object {
	corrupt := make([][]any, 0, len(h.Corrupt))
	for _, l := range h.Corrupt {
		corrupt = append(corrupt, []any{l.Server.String(), indexOf(h), l.Num})
	}
	responding := make([]string, 0, len(h.Responded))
	for _, k := range h.Responded {
		responding = append(responding, k.String())
	}
	hosts := map[string]bool{}
	for _, servers := range h.Good {
		for _, k := range servers {
			hosts[k.String()] = true
		}
	}
	recoverable, unrecoverable, wrong := versions(h)
	return object{
		{"storage-index", indexOf(h)},
		{"summary", h.Summary()},
		{"results", object{
			{"count-happiness", h.Happiness},
			{"count-shares-good", len(h.Good)},
			{"count-shares-needed", h.Needed},
			{"count-shares-expected", h.Expected},
			{"count-good-share-hosts", len(hosts)},
			{"count-corrupt-shares", len(h.Corrupt)},
			{"list-corrupt-shares", corrupt},
			{"servers-responding", responding},
			{"sharemap", shareMap(h)},
			{"count-wrong-shares", wrong},
			{"count-recoverable-versions", recoverable},
			{"count-unrecoverable-versions", unrecoverable},
			{"healthy", h.Healthy()},
			{"recoverable", h.Recoverable()},
		}},
	}
}

// versions counts the versions of a file, of which an immutable one has one, and
// the shares that belong to others than the newest that is recoverable.
func versions(h transfer.Health) (recoverable, unrecoverable, wrong int) {
	if _, mutable := h.Cap.MutableVerify(); !mutable {
		if h.Recoverable() {
			return 1, 0, 0
		}
		return 0, 1, 0
	}
	for _, v := range h.Versions {
		switch {
		case !v.Recoverable():
			unrecoverable++
			wrong += len(v.Shares)
		case recoverable == 0:
			recoverable++
		default:
			recoverable++
			wrong += len(v.Shares)
		}
	}
	return recoverable, unrecoverable, wrong
}

// shareMap lists the servers of each share: by number, and of a mutable file by
// version.
func shareMap(h transfer.Health) object {
	out := object{}
	list := func(name string, shares map[int][]string) {
		for _, n := range sortedKeys(shares) {
			out.add(name+strconv.Itoa(n), shares[n])
		}
	}
	if len(h.Versions) == 0 {
		list("", texts(h.Good))
	}
	for _, v := range h.Versions {
		list(fmt.Sprintf("seq%d-%s-sh", v.Seq, v.Root.String()[:4]), texts(v.Shares))
	}
	return out
}

func sortedKeys[V any](m map[int]V) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func texts[K fmt.Stringer](m map[int][]K) map[int][]string {
	out := make(map[int][]string, len(m))
	for n, servers := range m {
		for _, k := range servers {
			out[n] = append(out[n], k.String())
		}
	}
	return out
}
