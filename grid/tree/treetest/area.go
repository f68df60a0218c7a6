package treetest

import (
	"crypto/ed25519"

	"trunkline/caps"
)

// Area is an area code that is made up from a number.
func Area(number byte) caps.AreaCode {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	return caps.NewAreaCode(caps.PublicKey(public))
}
