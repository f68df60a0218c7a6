package dirnode

import (
	"crypto/aes"
	"crypto/cipher"

	"trunkline/caps"
)

const (
	saltSize = 16
	macSize  = 32
)

// sealWriteCap hides the text of a child's write cap, empty if it has none, from those who only read the directory.
func sealWriteCap(directory caps.WriteKey, text string) []byte {
	salt := caps.RWCapSalt(text)
	key := caps.RWCapKey(salt, directory)
	sealed := append(make([]byte, 0, saltSize+len(text)+macSize), salt[:]...)
	sealed = append(sealed, text...)
	xor(key, sealed[saltSize:])
	mac := caps.RWCapMAC(key, sealed)
	return append(sealed, mac[:]...)
}

// openWriteCap undoes sealWriteCap. As in Tahoe the mac is not looked at: the file that the directory is kept in is signed.
func openWriteCap(directory caps.WriteKey, sealed []byte) (text []byte, ok bool) {
	if len(sealed) < saltSize+macSize {
		return nil, false
	}
	key := caps.RWCapKey([saltSize]byte(sealed[:saltSize]), directory)
	text = append(text, sealed[saltSize:len(sealed)-macSize]...)
	xor(key, text)
	return text, true
}

func xor(key caps.ReadKey, text []byte) {
	if len(text) == 0 {
		return
	}
	raw := key.Bytes()
	block, err := aes.NewCipher(raw[:])
	if err != nil {
		panic(err) // sixteen bytes are a key
	}
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(text, text)
}
