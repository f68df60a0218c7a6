package web

import (
	"fmt"
	"net/http"
	"strings"
)

// forms are the methods and the arguments of what a program asks by GET or by a
// form.
func (h *Handler) formArgs(w *answer, r *http.Request) (args, error) {
	if err := methods(w, r, http.MethodGet, http.MethodHead, http.MethodPost); err != nil {
		return args{}, err
	}
	a, err := queryArgs(r)
	if err == nil && r.Method == http.MethodPost {
		_, err = a.addForm(r, h.spool)
	}
	return a, err
}

// status answers /status: what is under way, and what was lately.
func (h *Handler) status(w *answer, r *http.Request, rest []string) error {
	if len(rest) > 0 {
		return problemf(http.StatusNotFound, "there is nothing at this address")
	}
	a, err := h.formArgs(w, r)
	defer func() { a.file.Close() }()
	if err != nil {
		return err
	}
	if t := a.t(); t != "" && t != "json" {
		return badRequest("bad t=%s", printable(t))
	}
	active, recent := h.records.list()
	b, err := jsonText(object{{"active", active}, {"recent", recent}})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b) // to a client that may be gone
	return nil
}

// statistics answers /statistics.
func (h *Handler) statistics(w *answer, r *http.Request, rest []string) error {
	if len(rest) > 0 {
		return problemf(http.StatusNotFound, "there is nothing at this address")
	}
	a, err := h.formArgs(w, r)
	defer func() { a.file.Close() }()
	if err != nil {
		return err
	}
	uptime := h.config.Now().Sub(h.started).Seconds()
	files, bytes := h.records.files, h.records.bytes
	switch t := a.t(); t {
	case "", "json":
		return writeJSON(w, object{
			{"counters", object{
				{"uploader.files_uploaded", files["upload"].Load()},
				{"uploader.bytes_uploaded", bytes["upload"].Load()},
				{"downloader.files_downloaded", files["download"].Load()},
				{"downloader.bytes_downloaded", bytes["download"].Load()},
			}},
			{"stats", object{{"node.uptime", uptime}}},
		})
	case "openmetrics":
		var b strings.Builder
		for _, kind := range []string{"upload", "download"} {
			fmt.Fprintf(&b, "# TYPE tahoe_counters_%[1]ser_files_%[1]sed counter\ntahoe_counters_%[1]ser_files_%[1]sed_total %[2]d\n", kind, files[kind].Load())
			fmt.Fprintf(&b, "# TYPE tahoe_counters_%[1]ser_bytes_%[1]sed counter\ntahoe_counters_%[1]ser_bytes_%[1]sed_total %[2]d\n", kind, bytes[kind].Load())
		}
		fmt.Fprintf(&b, "# TYPE tahoe_stats_node_uptime gauge\ntahoe_stats_node_uptime %g\n# EOF\n", uptime)
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte(b.String())) // to a client that may be gone
		return nil
	default:
		return badRequest("bad t=%s", printable(t))
	}
}

// nodeJSON answers /?t=json: how the node is, for programs that wait for it.
func (h *Handler) nodeJSON(w *answer) error {
	n := h.config.Node()
	servers := []object{}
	for _, s := range n.Servers {
		o := object{{"nodeid", s.ID}, {"nickname", s.Nickname}, {"version", s.Version}}
		if s.Connected {
			o.add("connection_status", "Connected")
		} else {
			o.add("connection_status", "not connected")
		}
		if s.Available > 0 {
			o.add("available_space", s.Available)
		} else {
			o.add("available_space", nil)
		}
		if s.Heard.IsZero() {
			o.add("last_received_data", nil)
		} else {
			o.add("last_received_data", float64(s.Heard.UnixMilli())/1000)
		}
		servers = append(servers, o)
	}
	b, err := jsonText(object{{"introducers", object{{"statuses", []string{}}}}, {"servers", servers}})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b) // to a client that may be gone
	return nil
}
