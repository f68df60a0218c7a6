package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"trunkline/billing/ledger"
	"trunkline/caps"
	"trunkline/cmd/internal/node"
	"trunkline/grid/account"
	"trunkline/grid/client"
	"trunkline/grid/roster"
	"trunkline/grid/transfer"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// Every exit code that the source names has a meaning in the list that users see, and the other way round.
func TestExitCodesAreListed(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	named := map[int]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "exit") {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || lit.Kind != token.INT {
			return true
		}
		code, err := strconv.Atoi(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		named[code] = spec.Names[0].Name
		return true
	})
	if len(named) < 10 {
		t.Fatalf("found only %v", named)
	}
	last := -1
	for _, m := range exitMeanings {
		if named[m.Code] == "" {
			t.Errorf("code %d is listed and has no name", m.Code)
		}
		if m.Code <= last {
			t.Errorf("code %d stands after %d", m.Code, last)
		}
		delete(named, m.Code)
		last = m.Code
	}
	for code, name := range named {
		t.Errorf("%s = %d is not listed", name, code)
	}
}

// What the wrapped and joined errors of all parts end in.
func TestExitCode(t *testing.T) {
	t.Parallel()
	var server caps.PublicKey
	few := func(found int, reasons ...error) error {
		e := &transfer.NotEnoughSharesError{Found: found, Need: 3, Asked: 10}
		for _, r := range reasons {
			e.Blamed = append(e.Blamed, transfer.Blame{Server: server, Reason: r})
		}
		return fmt.Errorf("reading: %w", e)
	}
	remote := func(k p2p.ErrorKind, text string) error {
		return fmt.Errorf("asking: %w", &p2p.RemoteError{Kind: k, Text: text})
	}
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"nil":                  {nil, exitOK},
		"anything":             {errors.New("anything"), exitFailure},
		"interrupted":          {errInterrupted, exitInterrupted},
		"usage":                {&usageError{err: errors.New("no such flag")}, exitUsage},
		"cap":                  {fmt.Errorf("x: %w", caps.ErrMalformed), exitUsage},
		"area_code":            {caps.ErrAreaCode, exitUsage},
		"config":               {fmt.Errorf("%w: x", node.ErrConfig), exitUsage},
		"no_node":              {node.ErrNoHome, exitNotRunning},
		"not_running":          {node.ErrNotRunning, exitNotRunning},
		"locked":               {node.ErrLocked, exitBusy},
		"port_taken":           {node.ErrPortTaken, exitBusy},
		"wrong_node":           {node.ErrWrongNode, exitRefused},
		"stranger":             {node.ErrNoGrid, exitRefused},
		"control":              {&node.ControlError{Code: 7, Text: "x"}, 7},
		"no_shares":            {few(0), exitNotFound},
		"servers_down":         {few(0, p2p.ErrUnreachable), exitTemporary},
		"too_few":              {few(2), exitTemporary},
		"too_few_some_down":    {few(2, p2p.ErrUnreachable), exitTemporary},
		"liars":                {few(2, transfer.ErrCorrupt, p2p.ErrUnreachable), exitIntegrity},
		"refused_by_all":       {few(0, remote(p2p.Denied, "no"), remote(p2p.Denied, "no")), exitRefused},
		"refused_by_some":      {few(0, remote(p2p.Denied, "no"), p2p.ErrUnreachable), exitTemporary},
		"inconsistent":         {transfer.ErrInconsistent, exitIntegrity},
		"unhappy":              {&transfer.UnhappyError{Placed: 1, Wanted: 7}, exitTemporary},
		"unhappy_refused":      {&transfer.UnhappyError{Failed: []transfer.Blame{{Reason: remote(p2p.Denied, "no")}}}, exitRefused},
		"source_changed":       {transfer.ErrSourceChanged, exitFailure},
		"disk_full":            {fmt.Errorf("writing: %w", syscall.ENOSPC), exitTemporary},
		"no_file":              {fmt.Errorf("reading: %w", os.ErrNotExist), exitNotFound},
		"credit":               {account.ErrCredit, exitPayment},
		"ledger_credit":        {ledger.ErrCredit, exitPayment},
		"approver_away":        {account.ErrAway, exitTemporary},
		"revoked":              {account.ErrRevoked, exitRefused},
		"not_member":           {roster.ErrNotMember, exitRefused},
		"ticket_used":          {roster.ErrTicketUsed, exitRefused},
		"ticket_unknown":       {roster.ErrTicket, exitRefused},
		"ticket_ended":         {roster.ErrExpired, exitRefused},
		"ticket_text":          {roster.ErrTicketText, exitUsage},
		"no_gateway":           {client.ErrNoGateway, exitTemporary},
		"range":                {client.ErrRange, exitUsage},
		"area_unknown":         {area.ErrUnknownArea, exitNotFound},
		"area_no_answer":       {area.ErrNoAnswer, exitTemporary},
		"remote_denied":        {remote(p2p.Denied, "x"), exitRefused},
		"remote_refused":       {remote(p2p.Refused, "x"), exitRefused},
		"remote_expired":       {remote(p2p.Expired, "x"), exitRefused},
		"remote_unpaid":        {remote(p2p.Unpaid, "x"), exitPayment},
		"remote_not_found":     {remote(p2p.NotFound, "x"), exitNotFound},
		"remote_busy":          {remote(p2p.Busy, "x"), exitBusy},
		"remote_unavailable":   {remote(p2p.Unavailable, "x"), exitTemporary},
		"remote_integrity":     {remote(p2p.Integrity, "x"), exitIntegrity},
		"remote_unsupported":   {remote(p2p.Unsupported, "x"), exitVersion},
		"remote_internal":      {remote(p2p.Internal, "x"), exitFailure},
		"remote_conflict":      {remote(p2p.Conflict, "x"), exitTemporary},
		"silent":               {p2p.ErrStepTimeout, exitTemporary},
		"deadline":             {context.DeadlineExceeded, exitDeadline},
		"joined_failure_first": {errors.Join(errors.New("x"), account.ErrCredit), exitPayment},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(tt.err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

// No rule has a code that is not listed, or a hint that is not written like the others.
func TestRules(t *testing.T) {
	t.Parallel()
	for i, r := range rules {
		if r.hint == "" {
			continue
		}
		if why := badSentence("trunkline: hint: " + r.hint); why != "" {
			t.Errorf("rule %d: hint %q: %s", i, r.hint, why)
		}
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"plain":            {"there is no node here: /x", "there is no node here: /x"},
		"package":          {"changing account: ledger: terms refused: amount", "changing account: terms refused: amount"},
		"kind":             {"the home grid has no gateway: unavailable", "the home grid has no gateway"},
		"twice":            {"redeeming ticket: used: peer answered: used", "redeeming ticket: used"},
		"answers":          {"12D3KooW…abcdef: peer answered: no approval: peer answered: ledger: no account", "12D3KooW…abcdef answered: no approval: no account"},
		"bare_answer":      {"asking: peer answered: unavailable", "asking: peer answered: unavailable"},
		"only_kind":        {"unavailable", "unavailable"},
		"verdict":          {"area k51 is not on the list: refused", "area k51 is not on the list"},
		"subject":          {"area k51…a: area k51…a charges 3", "area k51…a charges 3"},
		"subject_key":      {"12D3KooW…abcdef: peer 12D3KooWxyzabcdef is unreachable", "peer 12D3KooWxyzabcdef is unreachable"},
		"other_key":        {"12D3KooW…abcdef: peer 12D3KooWxyz is unreachable", "12D3KooW…abcdef: peer 12D3KooWxyz is unreachable"},
		"name_again":       {`docs:a/b: "b": no such file or directory`, "docs:a/b: no such file or directory"},
		"other_name":       {`docs:a/b: "a": not a directory`, `docs:a/b: "a": not a directory`},
		"cap":              {`open URI:CHK:abc:def:3:10:5: no such file`, "open URI:…: no such file"},
		"cap_quoted":       {`unknown command "URI:DIR2-RO:abc:def"`, `unknown command "URI:…"`},
		"cap_encoded":      {`bad URI%3ACHK%3Aabc`, `bad URI%3A…`},
		"cap_long":         {"x ro.URI:LD:k51+k52:SSK:a:b", "x ro.URI:…"},
		"prefix_alone":     {`it does not begin with "URI:"`, `it does not begin with "URI:"`},
		"ticket":           {"bad trunkline-ticket:aebagbaf", "bad trunkline-ticket:…"},
		"joined":           {"posting: away\nasking: away", "posting: away; and 1 more"},
		"space":            {"  x \n", "x"},
		"nothing_but_kind": {"malformed: internal", "malformed: internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sentence(tt.in); got != tt.want {
				t.Errorf("sentence(%q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

func FuzzSentence(f *testing.F) {
	f.Add("reading: URI:CHK:abc:def:3:10:5: peer answered: no")
	f.Fuzz(func(t *testing.T, text string) {
		got := sentence(text)
		if secretText().MatchString(got) {
			t.Fatalf("%q still has a capability: %q", text, got)
		}
		if again := sentence(got); len(again) > len(got) {
			t.Fatalf("%q grew to %q", got, again)
		}
	})
}
