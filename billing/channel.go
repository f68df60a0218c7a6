package billing

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"trunkline/caps"
)

// ChannelID names one payer process paying one payee process, at one tariff,
// in one period, under one approver.
type ChannelID [sha256.Size]byte

// String is the id in hexadecimal. It is not secret.
func (c ChannelID) String() string { return hex.EncodeToString(c[:]) }

const channelDomain = "trunkline/channel/v1\n"

// NewChannelID computes the id: the SHA-256 of the domain line, the three keys,
// the tariff's hash and the period as 8 bytes big-endian. Who checks an object
// computes the id again; it is never taken on trust.
func NewChannelID(approver, payer, payee caps.PublicKey, tariff TariffHash, period uint64) ChannelID {
	b := make([]byte, 0, len(channelDomain)+3*keyLen+hashLen+8)
	b = append(b, channelDomain...)
	b = append(b, approver[:]...)
	b = append(b, payer[:]...)
	b = append(b, payee[:]...)
	b = append(b, tariff[:]...)
	b = binary.BigEndian.AppendUint64(b, period)
	return sha256.Sum256(b)
}
