// Package web serves a grid's files and directories over HTTP, to programs and to
// people.
//
// Programs find the web API of Tahoe-LAFS, close enough that its stock command
// runs against it unchanged. People find pages: paste a cap, see what it is,
// browse, download, upload. Both are for whoever sits at this machine: a request
// that another web page caused is refused whatever its method, and nothing costs
// money before a person agreed to it.
//
// Source: tahoe-formats 9.
package web
