// Package dirnode reads and writes the contents of directories: the list of children that Tahoe-LAFS keeps in a mutable or
// an immutable file.
//
// It is bytes in and bytes out. What it does not understand it keeps verbatim: an entry is only written anew when it is set.
//
// Source: tahoe-formats 7.
package dirnode
