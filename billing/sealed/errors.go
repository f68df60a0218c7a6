package sealed

import "errors"

var (
	// ErrTooLarge means that the envelope is longer than its kind allows.
	ErrTooLarge = errors.New("sealed: envelope is too large")
	// ErrShape means that the bytes are not an envelope in its one spelling.
	ErrShape = errors.New("sealed: not a canonical envelope")
	// ErrKind means that the envelope holds another kind of object.
	ErrKind = errors.New("sealed: envelope holds another kind of object")
	// ErrKey means that the signer's key is no Ed25519 key, is not canonical
	// or is of small order.
	ErrKey = errors.New("sealed: key cannot be used to sign")
	// ErrSignature means that the signature does not match key, domain, codec
	// and payload.
	ErrSignature = errors.New("sealed: signature does not match")
	// ErrSigner means that the signature is good, but somebody else's.
	ErrSigner = errors.New("sealed: signed by somebody else")
	// ErrPayload means that what was signed is not a valid object of its kind.
	ErrPayload = errors.New("sealed: payload refused")
)
