package tahoe

import "errors"

// What callers branch on.
var (
	// ErrNode means that a directory is not a Tahoe node's, or a file in it cannot be used.
	ErrNode = errors.New("not a usable Tahoe node directory")
	// ErrAnnouncement means that what is said of a storage server cannot be used.
	ErrAnnouncement = errors.New("not a usable announcement of a storage server")
	// ErrFoolscap means that a server speaks Tahoe's older protocol only, which is not spoken here.
	ErrFoolscap = errors.New("the server announces no HTTPS address (NURL); it needs Tahoe 1.19 or newer")
	// ErrCertificate means that a grid-manager certificate cannot be read.
	ErrCertificate = errors.New("not a grid-manager certificate")
	// ErrSignature means that none of the trusted grid managers signed a certificate.
	ErrSignature = errors.New("no trusted grid manager signed the certificate")
	// ErrOtherServer means that a certificate is for another server.
	ErrOtherServer = errors.New("the certificate is for another server")
	// ErrExpired means that a certificate's time is over.
	ErrExpired = errors.New("the certificate has expired")
	// ErrExists means that a directory has a Tahoe node in it that is not ours to change.
	ErrExists = errors.New("there is a Tahoe node in that directory already")
	// ErrClosed means that the servers were closed.
	ErrClosed = errors.New("the servers are closed")
)
