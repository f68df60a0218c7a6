package web

import (
	"net/http"

	"trunkline/caps"
	"trunkline/grid/tree"
)

const staticPath = "/static/"

func (h *Handler) front(w *answer, r *http.Request) error { return h.nodeJSON(w) }
func (h *Handler) errorPage(w *answer, r *http.Request, status int, text string, err error) bool {
	return false
}
func (h *Handler) infoPage(w *answer, q *request, n tree.Node) error { return nil }
func (h *Handler) directoryPage(w *answer, q *request, n tree.Node) error {
	writeText(w, 200, "dir")
	return nil
}
func (h *Handler) renamePage(w *answer, q *request, n tree.Node) error                { return nil }
func (h *Handler) checkPage(w *answer, q *request, n tree.Node, c tree.Checked) error { return nil }
func (h *Handler) savedPage(w *answer, q *request, c caps.Cap, name string) error     { return nil }
func (h *Handler) static(w *answer, r *http.Request, rest []string) error             { return nil }
