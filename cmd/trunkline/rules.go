package main

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/ledger/sqlite"
	"trunkline/caps"
	"trunkline/clearinghouse"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/backupdb"
	"trunkline/cmd/internal/copier"
	"trunkline/cmd/internal/names"
	"trunkline/cmd/internal/node"
	"trunkline/grid/account"
	"trunkline/grid/client"
	"trunkline/grid/longdistance"
	"trunkline/grid/manager"
	"trunkline/grid/mutable"
	"trunkline/grid/roster"
	"trunkline/grid/storage"
	"trunkline/grid/tahoe"
	"trunkline/grid/transfer"
	"trunkline/grid/tree"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// rule says what the errors that match it mean to a person: the exit code, and what to do next.
type rule struct {
	is   func(error) bool
	code func(error) int
	text string // in place of the error's own, where that says less
	hint string
}

// match is a rule for errors that match any of the sentinels.
func match(code int, hint string, sentinels ...error) rule {
	return rule{
		is: func(err error) bool {
			return slices.ContainsFunc(sentinels, func(s error) bool { return errors.Is(err, s) })
		},
		code: func(error) int { return code },
		hint: hint,
	}
}

// deniedByAll tells whether servers had one reason only for not reading or taking shares: who asked.
func deniedByAll(err error) bool {
	var few *transfer.NotEnoughSharesError
	var unhappy *transfer.UnhappyError
	var blamed []transfer.Blame
	switch {
	case errors.As(err, &few):
		blamed = few.Blamed
	case errors.As(err, &unhappy):
		blamed = unhappy.Failed
	}
	return len(blamed) > 0 && !slices.ContainsFunc(blamed, func(b transfer.Blame) bool { return !errors.Is(b.Reason, p2p.ErrDenied) })
}

const raiseCredit = "deposit and credit line are used up or reserved; for a member the grid's manager can raise them, for a grid the clearinghouse's operator"

// rules are tried in order; the first that matches wins. What comes from the other side of a wire is matched by its
// kind, at the end.
var rules = []rule{
	{
		is:   func(err error) bool { var c *node.ControlError; return errors.As(err, &c) },
		code: func(err error) int { var c *node.ControlError; _ = errors.As(err, &c); return c.Code },
	},
	match(exitNotRunning, "\"trunkline join TICKET\" makes one that belongs to a grid, \"trunkline init\" one that belongs to none", node.ErrNoHome),
	match(exitNotRunning, "start it with: trunkline run", node.ErrNotRunning, manager.ErrNotServing),
	match(exitBusy, "stop that process first, or ask it: most commands work while it runs", node.ErrLocked, storage.ErrLocked),
	match(exitBusy, "end it, or give this node another port: listen in trunkline.toml", node.ErrPortTaken),
	match(exitFailure, "choose another directory with --home", node.ErrHomeTaken, manager.ErrExists, clearinghouse.ErrExists),
	match(exitUsage, "", node.ErrConfig),
	match(exitRefused, "use the node directory of a client: \"trunkline grid invite\" makes a ticket for one", node.ErrNotClient),
	match(exitRefused, "name the right node directory with --home", node.ErrWrongNode),
	match(exitUsage, "", node.ErrArgument, node.ErrNotFile),

	match(exitNotFound, "\"trunkline list-aliases\" lists them, create-alias and add-alias make one", alias.ErrUnknown),
	match(exitConflict, "choose another name, or take the line out of private/aliases in the node directory", alias.ErrTaken),
	match(exitUsage, "", alias.ErrName, alias.ErrPath, names.ErrEscape),
	match(exitFailure, "", alias.ErrFile, backupdb.ErrDatabase),
	match(exitDegraded, "", errPartly),
	match(exitDegraded, "\"trunkline repair\" puts back what is missing", errUnhealthy),
	match(exitTemporary, "servers are down, or shares are lost; try again when more servers are up", errUnrecoverable),
	match(exitUsage, "--escape-names writes it under the name that ls shows", names.ErrLocal),
	match(exitUsage, "", copier.ErrInTheWay, copier.ErrType),
	match(exitRefused, "use a cap that can write; ls -l shows what may be changed", errNotWritable),
	match(exitUsage, "give a node directory of Tahoe-LAFS, such as ~/.tahoe", tahoe.ErrNode, tahoe.ErrAnnouncement),
	match(exitConflict, "choose another directory: what a Tahoe-LAFS node keeps is left alone", tahoe.ErrExists),
	match(exitRefused, "set listen under [web] in the trunkline.toml of a client", node.ErrNoWeb),

	match(exitNotFound, "", tree.ErrNotFound),
	match(exitConflict, "somebody else may have made it; look with ls", tree.ErrExists),
	match(exitConflict, "it is in both places now; look at both, then unlink one", tree.ErrChanged),
	match(exitUsage, "", tree.ErrInTheWay, tree.ErrNotDirectory, tree.ErrName, tree.ErrChild, tree.ErrIntoItself, tree.ErrWrongType, tree.ErrMutableChild),
	match(exitRefused, "only a directory's write cap changes it; ask whoever gave you this one", tree.ErrReadOnly),
	match(exitRefused, "copy it to your own grid with cp -r", tree.ErrForeign),
	match(exitRefused, "a verify cap only checks; ask for the read cap", tree.ErrNotReadable),
	match(exitIntegrity, "whoever wrote this directory wrote it wrong", tree.ErrMalformed),
	match(exitUsage, "spread the entries over several directories", tree.ErrTooLarge),
	match(exitRefused, "ask whoever gave you this cap for one that can write", client.ErrReadOnly, mutable.ErrNoWriteCap),
	match(exitRefused, "only members of its own grid change, check and repair a file; cp brings a copy to yours", client.ErrFar),
	match(exitConflict, "read it before you write again: what you wrote may stand or not", mutable.ErrUncoordinated),
	match(exitConflict, "start again", client.ErrChanged),
	match(exitTemporary, "try again when more servers are up", mutable.ErrUnsettled),
	match(exitIntegrity, "servers that have the newer version are down, or somebody puts back an old one", mutable.ErrRollback),
	match(exitUsage, "", mutable.ErrTooLarge),

	match(exitUsage, "check that the whole cap was copied, from URI: to the last digit",
		caps.ErrMalformed, caps.ErrUnknownKind, caps.ErrShareCounts, caps.ErrSize, caps.ErrNoCap, caps.ErrBase32Alphabet,
		caps.ErrBase32Length, caps.ErrBase32TrailingBits),
	match(exitUsage, "", caps.ErrKey, caps.ErrNoAreaForm, p2p.ErrPeer, billing.ErrCredits, billing.ErrCurrency,
		roster.ErrTicketText, manager.ErrArgument, clearinghouse.ErrArgument, client.ErrRange),
	match(exitNotFound, "", node.ErrUnknownMember, manager.ErrNoMember, manager.ErrNoTicket, manager.ErrNotSubscribed,
		manager.ErrNoGrid, clearinghouse.ErrNone, clearinghouse.ErrNoGrid, clearinghouse.ErrNoRequest),
	match(exitVersion, "", sqlite.ErrNewer),

	match(exitRefused, "ask a grid's manager for a ticket", client.ErrNoHome, node.ErrNoGrid),
	match(exitUsage, "a cap without an area opens only on its own grid: ask for the long-distance cap, which starts URI:LD:", client.ErrNoArea),
	match(exitTemporary, "ask your grid's manager to add one: trunkline grid invite --role gateway", client.ErrNoGateway),

	{
		is: func(err error) bool {
			var few *transfer.NotEnoughSharesError
			return errors.As(err, &few) && slices.ContainsFunc(few.Blamed, transfer.Blame.Corrupt)
		},
		code: func(error) int { return exitIntegrity },
		hint: "servers answered with damaged shares; the file may come back when others are up again",
	},
	{
		// The roster at hand may be older than the servers'.
		is:   deniedByAll,
		code: func(error) int { return exitRefused },
		text: "the grid's servers refuse this node",
		hint: "ask the grid's manager whether it is still a member",
	},
	{
		// Nothing found, but not everybody was heard: that the file does not exist can't be said.
		is: func(err error) bool {
			var few *transfer.NotEnoughSharesError
			return errors.As(err, &few) && len(few.Blamed) > 0
		},
		code: func(error) int { return exitTemporary },
		hint: "servers are down or can't be reached; try again later",
	},
	match(exitIntegrity, "whoever stored this file made it wrong; it can't be read", transfer.ErrInconsistent),
	match(exitNotFound, "no server of the grid has any share of it; was it stored in another grid?", transfer.ErrNoShares),
	match(exitTemporary, "the other shares are lost, or on servers that are not on the roster now", transfer.ErrNotEnoughShares),
	match(exitTemporary, "too few servers took shares; it is not safely stored. Try later, or lower client.happy in trunkline.toml", transfer.ErrUnhappy),
	match(exitIntegrity, "", transfer.ErrCorrupt),
	match(exitFailure, "nothing was stored; put it again", transfer.ErrSourceChanged),
	match(exitTemporary, "", client.ErrShort),

	match(exitPayment, raiseCredit,
		account.ErrCredit, ledger.ErrCredit),
	match(exitTemporary, "local files work meanwhile", account.ErrAway),
	match(exitIntegrity, "", account.ErrReceipt, account.ErrApproval, account.ErrStatement, ledger.ErrBroken),
	match(exitRefused, "this node's membership has ended or was revoked; ask the grid's manager",
		roster.ErrNotMember, manager.ErrRevoked, account.ErrRevoked),
	match(exitRefused, "ask the grid's manager for a new one", roster.ErrTicketUsed, roster.ErrTicket),
	match(exitRefused, "", roster.ErrExpired),

	match(exitTemporary, "the disk is full", syscall.ENOSPC),
	match(exitFailure, "", fs.ErrPermission),

	match(exitPayment, raiseCredit, p2p.ErrUnpaid),
	match(exitRefused, "members of a grid can pay for such calls: ask a grid's manager for a ticket", longdistance.ErrTariff),
	match(exitRefused, "that is a rule of whoever refused: your grid's gateway (its prices and areas stand in its trunkline.toml) or the other grid",
		p2p.ErrRefused),
	match(exitRefused, "your grid's manager can say why: membership, credit, or no clearinghouse in common with the other grid", p2p.ErrDenied),
	match(exitRefused, "", p2p.ErrExpired),
	match(exitIntegrity, "", p2p.ErrIntegrity),
	match(exitTemporary, "is this machine on the network? \"bootstrap\" in trunkline.toml, or init --bootstrap, names whom to ask first",
		area.ErrNoAnswer),
	match(exitNotFound, "check the area code and the cap; \"trunkline area show AREA\" shows who was asked", p2p.ErrNotFound),
	match(exitBusy, "try again in a moment", p2p.ErrBusy),
	match(exitTemporary, "a price or a member changed a moment ago; try again in a minute", p2p.ErrConflict),
	match(exitTemporary, "try again later", p2p.ErrUnavailable, p2p.ErrUnreachable, p2p.ErrStepTimeout, io.ErrUnexpectedEOF, roster.ErrUnreachable),
	match(exitVersion, "the other side speaks another version", p2p.ErrUnsupported),
}
