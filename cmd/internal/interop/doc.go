// Package interop has no code, only tests: the trunkline command, as processes of its own, beside the real Tahoe-LAFS.
//
// The stock tahoe command runs against a Trunkline node; what one of the two wrote is read by the other, whole grids
// of Tahoe servers included; and a file of a Tahoe grid is opened from another grid, by its long-distance cap, through
// a contact point in front of it.
//
// TRUNKLINE_TAHOE names the stock command; without it everything here is skipped.
package interop
