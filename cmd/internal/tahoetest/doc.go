// Package tahoetest starts a small grid of the real Tahoe-LAFS, for tests of what must work with one.
//
// TRUNKLINE_TAHOE names the stock tahoe command, version 1.20, such as /path/to/venv/bin/tahoe. Without it these tests
// are skipped.
package tahoetest
