package manager

import "errors"

var (
	// ErrExists means that there is a grid in the folder already.
	ErrExists = errors.New("there is a grid in this folder already")
	// ErrNoGrid means that there is no grid in the folder.
	ErrNoGrid = errors.New("there is no grid in this folder; make one with grid create")
	// ErrNoMember means that no member has this key.
	ErrNoMember = errors.New("no such member")
	// ErrRevoked means that the key was revoked; the node has to make a new one.
	ErrRevoked = errors.New("this key was revoked for good; the node needs a new one")
	// ErrNoTicket means that no ticket has this name.
	ErrNoTicket = errors.New("no such ticket")
	// ErrFull means that the grid or its list of tickets has no room left.
	ErrFull = errors.New("no room for more")
	// ErrArgument means that an argument makes no sense.
	ErrArgument = errors.New("argument refused")
	// ErrNoGridKey means that the grid key is needed and its file is not there.
	ErrNoGridKey = errors.New("the grid key is offline")
	// ErrNotServing means that an operation needs the network before Serve was called.
	ErrNotServing = errors.New("the manager is not on the network")
	// ErrNotSubscribed means that the grid is not a member of that clearinghouse.
	ErrNotSubscribed = errors.New("not subscribed to this clearinghouse")
)
