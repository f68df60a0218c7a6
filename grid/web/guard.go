package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// guard says whose requests are answered. A browser sends whatever any page on
// the web asks it to, also to this machine: a page must neither read a file nor
// spend money, so nothing that another page caused is answered, whatever its
// method.
type guard struct {
	hosts []string // further values of Host that are this node's
}

// check refuses requests that came under another name than this machine's, which
// is how a page with a name server of its own gets in, and those that a browser
// says come from another origin.
func (g guard) check(r *http.Request) error {
	if !g.ours(r, r.Host) {
		return problemf(http.StatusForbidden, "this node answers to 127.0.0.1 and localhost with its port, not to other names")
	}
	site := r.Header.Values("Sec-Fetch-Site")
	for _, s := range site {
		// "none" is a person's own doing: an address typed, a bookmark.
		if s != "same-origin" && s != "none" {
			return problemf(http.StatusForbidden, "another page asked for this; copy the address into the address bar to open it yourself")
		}
	}
	if len(site) == 0 && strings.Contains(r.UserAgent(), "Mozilla/") {
		return problemf(http.StatusForbidden, "this browser does not say which page asks; use one of 2023 or newer")
	}
	for _, o := range r.Header.Values("Origin") {
		// A form of our own pages has the origin "null", since they send no
		// referrer; that it is ours is what Sec-Fetch-Site says.
		if o == "null" && slices.Equal(site, []string{"same-origin"}) {
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" || u.Host != r.Host {
			return problemf(http.StatusForbidden, "the page that asked is of another origin")
		}
	}
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "", "empty", "document", "image", "audio", "video":
	case "style", "script":
		// Our own stand apart from what is kept in files, which anybody wrote.
		if !strings.HasPrefix(r.URL.Path, staticPath) {
			return problemf(http.StatusForbidden, "what is kept here is no script of a page")
		}
	default:
		return problemf(http.StatusForbidden, "what is kept here is not for frames, workers and plug-ins")
	}
	return nil
}

// ours says whether a Host is this node's: a loopback name with the port that
// the request came in on.
func (g guard) ours(r *http.Request, host string) bool {
	if host == "" {
		return false
	}
	if slices.Contains(g.hosts, host) {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "80"
	}
	if port != strconv.Itoa(local.Port) {
		return false
	}
	return strings.EqualFold(name, "localhost") || name == "127.0.0.1" || name == netip.IPv6Loopback().String()
}

// protect sets the headers that every answer has, whatever it is.
func protect(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	// Addresses hold caps.
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	// What is kept in files is anybody's: it gets an origin of its own, may
	// run and load nothing, and so can neither read other files nor tell
	// anybody that it was opened. Our pages replace this.
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; img-src data:; media-src 'self' data:; font-src data:; "+
		"style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
}
