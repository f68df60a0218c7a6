package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sentence makes of an error's text what a person is told. On its way an error collects what programs want to know
// and people need not read: the package it comes from, the kind it has on the wire, and, when it has crossed one,
// the same words a second time as the other side's. Each thing is said once.
//
// A capability or a ticket typed in the wrong place is a password in the wrong place; it is not repeated.
func sentence(text string) string {
	text = secretText().ReplaceAllString(strings.TrimSpace(text), "$1…")
	text, others, joined := strings.Cut(text, "\n") // several errors, of which the first came first
	parts := strings.Split(text, ": ")
	kept := parts[:0:0]
	answered := false // said so already; later answers are part of what it said
	for i, p := range parts {
		last := i == len(parts)-1
		bare := last && i > 0 && parts[i-1] == peerAnswered // all that the other side said
		verdict := last && (p == "refused" || p == "denied")
		n := len(kept)
		switch {
		case slices.Contains(kept, p), !bare && (isMachinery(p) || verdict):
		case n > 0 && quotesEnd(p, kept[n-1]):
		case n > 0 && tellsOf(p, kept[n-1]):
			kept[n-1] = p
		case p == peerAnswered && answered:
		case n > 0 && p == peerAnswered && isShort(kept[n-1]) && !last:
			kept[n-1] += " answered"
			answered = true
		default:
			kept = append(kept, p)
		}
	}
	for len(kept) > 0 && kept[len(kept)-1] == peerAnswered {
		kept = kept[:len(kept)-1]
	}
	if len(kept) > 0 {
		text = strings.Join(kept, ": ")
	}
	if joined {
		text += fmt.Sprintf("; and %d more", 1+strings.Count(others, "\n"))
	}
	return text
}

// quotesEnd tells whether a part only repeats the last name of the path before it: docs:a/b, then "b".
func quotesEnd(part, path string) bool {
	name, err := strconv.Unquote(part)
	return err == nil && (strings.HasSuffix(path, "/"+name) || strings.HasSuffix(path, ":"+name))
}

// tellsOf tells whether a part says itself whom it is about: "area x charges 3" after "area x", "peer 12D3KooWabc is
// away" after "12D3KooW…abc".
func tellsOf(part, subject string) bool {
	if strings.HasPrefix(part, subject+" ") {
		return true
	}
	head, tail, _ := strings.Cut(subject, "…")
	return isShort(subject) && strings.Contains(part, head) && strings.Contains(part, tail+" ")
}

// isShort tells the short form of a key or an area code.
func isShort(s string) bool { return strings.Contains(s, "…") && !strings.Contains(s, " ") }

const peerAnswered = "peer answered"

// secretText finds capabilities and tickets, however they are quoted.
func secretText() *regexp.Regexp {
	return regexp.MustCompile(`(URI(?::|%3A)|trunkline-ticket:)[A-Za-z0-9](?:[^\s"']*[^\s"':])?`)
}

// isMachinery tells words that only sort errors: names of packages, and of kinds on the wire where they are not plain
// English.
func isMachinery(part string) bool {
	switch part {
	case "ledger", "billing", "malformed", "conflict", "unpaid", "unsupported", "internal", "unavailable", "integrity":
		return true
	}
	return false
}
