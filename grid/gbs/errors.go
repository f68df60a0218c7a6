package gbs

import (
	"errors"

	"trunkline/p2p"
)

// What callers branch on, beside the sentinels of package storage and the kinds of package p2p.
var (
	// ErrNURL means that a text is no NURL.
	ErrNURL = errors.New("not the NURL of a storage server")
	// ErrSecret means that a secret was to be written where it must not be.
	ErrSecret = errors.New("a NURL is a secret and is not written here")
	// ErrConfig means that a Config cannot make a Server.
	ErrConfig = errors.New("not the description of a storage server")
	// ErrPinned means that the server showed another key than its NURL names.
	ErrPinned = p2p.Integrity.New("the server has another key than its NURL names")
	// ErrSwissnum means that the server does not take the NURL's secret.
	ErrSwissnum = p2p.Denied.New("the server does not take the secret of its NURL")
	// ErrProtocol means that an answer is not one of the protocol's.
	ErrProtocol = p2p.Malformed.New("the server's answer is not of the storage protocol")
)
