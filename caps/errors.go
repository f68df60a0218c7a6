package caps

import "errors"

// The four families. Every refusal of this package is one of them under errors.Is,
// and most are also one of the exact sentinels below.
var (
	// ErrMalformed means a text of a recognised kind breaks that kind's grammar: a
	// typing or copying mistake.
	ErrMalformed = errors.New("malformed capability")
	// ErrUnknownKind means the text begins like no capability known to this version. It
	// may come from a later one.
	ErrUnknownKind = errors.New("unknown kind of capability")
	// ErrKey means 32 bytes, or a text that should hold them, are no acceptable Ed25519
	// public key.
	ErrKey = errors.New("unacceptable public key")
	// ErrChain means hash tree nodes do not prove what they should.
	ErrChain = errors.New("hash chain does not verify")
)

// Base32 refusals. Inside a capability they come together with ErrMalformed.
var (
	ErrBase32Alphabet     = errors.New("base32: character outside a-z and 2-7")
	ErrBase32Length       = errors.New("base32: impossible length")
	ErrBase32TrailingBits = errors.New("base32: unused bits of the last character are not zero")
)

// Refusals of numbers that parse and cannot be used.
var (
	ErrShareCounts = errors.New("share counts out of range: need 1 <= k <= n <= 256")
	ErrSize        = errors.New("size out of range: need 1 <= size < 2^63")
)

// Public key refusals, all ErrKey.
var (
	ErrKeyLength       = under(ErrKey, "public key is not 32 bytes")
	ErrKeyNotPoint     = under(ErrKey, "public key is not a point of the curve")
	ErrKeyNotCanonical = under(ErrKey, "public key is not canonically encoded")
	ErrKeySmallOrder   = under(ErrKey, "public key has small order, so anyone can sign for it")
	ErrPeerID          = under(ErrKey, "not the peer ID of an Ed25519 key (12D3KooW…)")
	ErrAreaCode        = under(ErrKey, "not an area code (k51…, 62 characters)")
)

// Refusals of long-distance areas, all ErrMalformed.
var (
	ErrAreaCount     = under(ErrMalformed, "a long-distance capability names 1 to 8 areas")
	ErrAreaDuplicate = under(ErrMalformed, "an area is named twice")
	ErrAreaNested    = under(ErrMalformed, "a long-distance capability inside another")
	ErrNoAreaForm    = errors.New("this capability has no long-distance form")
)

// Refusals by context: the text names more authority than its place allows.
var (
	ErrMustBeReadOnly      = errors.New("capability must be read-only here")
	ErrMustBeDeepImmutable = errors.New("capability must be immutable here")
	ErrMustNotBeUnknownRW  = errors.New("unknown capability may allow writing and cannot be weakened")
)

// Other refusals.
var (
	// ErrNoCap means an empty text where a capability was needed.
	ErrNoCap = errors.New("no capability given")
	// ErrLiteralSize means more content than writers put into a capability.
	ErrLiteralSize = errors.New("too long for a literal capability, which holds at most 55 bytes")
	// ErrWrongKind means a constructor was asked for a kind it does not make.
	ErrWrongKind = errors.New("wrong kind of capability")
	// ErrNotMarshalled is what encoders get: the full text comes from Text alone.
	ErrNotMarshalled = errors.New("a capability or key is secret and is not marshalled implicitly")
)

// Hash chain refusals, all ErrChain.
var (
	ErrChainShort      = under(ErrChain, "hash chain is incomplete")
	ErrChainExtra      = under(ErrChain, "hash chain has a node that proves nothing")
	ErrChainMismatch   = under(ErrChain, "hash chain does not lead to the root")
	ErrChainLeaf       = under(ErrChain, "no such leaf in the hash tree")
	ErrChainNodeNumber = under(ErrChain, "no such node in the hash tree")
)

// Details of ErrMalformed that nobody branches on.
var (
	errFields = errors.New("fields are missing")
	errTail   = errors.New("something follows the last field")
)

// refusal is a sentinel that belongs to a family.
type refusal struct {
	family error
	text   string
}

func under(family error, text string) error { return &refusal{family, text} }

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.family }
