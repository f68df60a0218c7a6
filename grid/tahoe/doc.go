// Package tahoe reads what a Tahoe-LAFS node's directory says.
//
// That is: its configuration and secrets, the storage servers that it knows and their grid-manager certificates. From
// these it makes the servers of a Tahoe grid, as package gbs speaks to them, so that clients and contact points work
// with a grid that still runs Tahoe. The other way round it writes the directory that the stock tahoe command wants.
// Nothing here speaks to a network; nothing is written but by WriteNodeDir.
package tahoe
