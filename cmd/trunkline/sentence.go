package main

import (
	"regexp"
	"slices"
	"strings"
)

// sentence makes of an error's text what a person is told. On its way an error collects what programs want to know
// and people need not read: the package it comes from, the kind it has on the wire, and, when it has crossed one,
// the same words a second time as the other side's. Each thing is said once.
//
// A capability or a ticket typed in the wrong place is a password in the wrong place; it is not repeated.
func sentence(text string) string {
	text = secretText().ReplaceAllString(strings.TrimSpace(text), "$1…")
	parts := strings.Split(text, ": ")
	kept := parts[:0:0]
	for i, p := range parts {
		bare := i > 0 && parts[i-1] == peerAnswered // all that the other side said
		if !slices.Contains(kept, p) && (bare || !isMachinery(p)) {
			kept = append(kept, p)
		}
	}
	for len(kept) > 0 && kept[len(kept)-1] == peerAnswered {
		kept = kept[:len(kept)-1]
	}
	if len(kept) == 0 {
		return text
	}
	return strings.Join(kept, ": ")
}

const peerAnswered = "peer answered"

// secretText finds capabilities and tickets, however they are quoted.
func secretText() *regexp.Regexp {
	return regexp.MustCompile(`(URI(?::|%3A)|trunkline-ticket:)[A-Za-z0-9][^\s"']*`)
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
