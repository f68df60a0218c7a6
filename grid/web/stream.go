package web

import (
	"net/http"

	"trunkline/grid/tree"
)

// stream answers t=stream-manifest and t=stream-deep-check: a line for each
// object as it is found, then the statistics.
//
// Source: tahoe-formats 9.6.
func (h *Handler) stream(w *answer, q *request, dir tree.Node, t string) error {
	o, err := q.args.checkOptions()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	line := func(v any) error {
		b, err := jsonLine(v)
		if err != nil {
			return err
		}
		_ = control.SetWriteDeadline(h.config.Now().Add(h.config.Idle)) // not every ResponseWriter can
		if _, err := w.Write(b); err != nil {
			return err
		}
		return control.Flush()
	}
	var stats tree.Stats
	var failed error
	walker := stats.Walker()
	walker.Unreadable = func(_ tree.Visit, err error) error {
		failed = err
		return err
	}
	if t == "stream-manifest" {
		count := walker.Node
		walker.Node = func(v tree.Visit) error {
			if count != nil {
				if err := count(v); err != nil {
					return err
				}
			}
			return line(manifestLine(v))
		}
		err = q.tree.Walk(q.Context(), dir.Cap(), walker)
	} else {
		err = q.tree.DeepCheck(q.Context(), dir.Cap(), o, func(v tree.Visit, c tree.Checked, err error) error {
			if err != nil {
				failed = err
				return err
			}
			l := manifestLine(v)
			if o.Repair {
				if c.Literal {
					l.add("check-and-repair-results", object{{"storage-index", ""}, {"repair-attempted", false}})
				} else {
					l.add("check-and-repair-results", repairJSON(c))
				}
			} else {
				l.add("check-results", checkedJSON(c, false))
			}
			return line(l)
		}, walker)
	}
	if err != nil {
		if failed == nil {
			return err // the client is gone, or we are ending: what came is not all
		}
		// The status was sent long ago. Programs look for this line.
		status, text := statusOf(failed)
		class := "Error"
		if status == http.StatusGone {
			class = "UnrecoverableFileError"
		}
		_, err := w.Write([]byte("ERROR: " + class + "(" + oneLine(text) + ")\n" + text + "\n"))
		return err
	}
	return line(object{{"type", "stats"}, {"stats", &stats}})
}

// oneLine has the stream's reader find the end of a sentence.
func oneLine(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' {
			b[i] = ' '
		}
	}
	return string(b)
}

// manifestLine is one object of a walk.
func manifestLine(v tree.Visit) object {
	path := v.Path
	if path == nil {
		path = []string{}
	}
	verify, repair, index := "", "", ""
	if c, ok := v.Node.VerifyCap(); ok {
		verify = c.Text()
		if si, ok := c.StorageIndex(); ok {
			index = si.String()
		}
	}
	if c, ok := v.Node.RepairCap(); ok {
		repair = c.Text()
	}
	return object{
		{"path", path},
		{"cap", v.Node.Cap().Text()},
		{"type", string(v.Node.Type())},
		{"verifycap", verify},
		{"repaircap", repair},
		{"storage-index", index},
	}
}
