// Package gbs speaks to one Tahoe storage server.
//
// It is a client of Tahoe-LAFS's HTTPS storage protocol ("Great Black Swamp"), as Tahoe 1.20 serves it, and makes of
// such a server a transfer.Server like any other. PROTOCOL.md in this folder says what is sent.
package gbs
