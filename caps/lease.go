package caps

// ClientRenewSecret is the first link of a client's chain of renewal secrets. lease is
// the client's own lease secret. Here the secret is the tag and the name the value.
//
// Source of all in this file: tahoe-formats 2 and 11.
func ClientRenewSecret(lease [32]byte) Secret {
	return leaseRoot(lease, "allmydata_client_renewal_secret_v1")
}

// ClientCancelSecret is the like for cancelling.
func ClientCancelSecret(lease [32]byte) Secret {
	return leaseRoot(lease, "allmydata_client_cancel_secret_v1")
}

// FileRenewSecret follows ClientRenewSecret, for one object.
func FileRenewSecret(client Secret, si StorageIndex) Secret {
	return Secret(taggedPair(tagFileRenew, client[:], si[:]))
}

// FileCancelSecret follows ClientCancelSecret, for one object.
func FileCancelSecret(client Secret, si StorageIndex) Secret {
	return Secret(taggedPair(tagFileCancel, client[:], si[:]))
}

// BucketRenewSecret follows FileRenewSecret, for one server: what renews a lease there.
// peer is the server's 20-byte peer id.
func BucketRenewSecret(file Secret, peer [20]byte) Secret {
	return Secret(taggedPair(tagBucketRenew, file[:], peer[:]))
}

// BucketCancelSecret follows FileCancelSecret, for one server.
func BucketCancelSecret(file Secret, peer [20]byte) Secret {
	return Secret(taggedPair(tagBucketCancel, file[:], peer[:]))
}

// LeaseSecrets walks both chains at once: the two secrets that a client with that lease
// secret shares with one server for one object.
func LeaseSecrets(lease [32]byte, si StorageIndex, peer [20]byte) (renew, cancel Secret) {
	renew = BucketRenewSecret(FileRenewSecret(ClientRenewSecret(lease), si), peer)
	cancel = BucketCancelSecret(FileCancelSecret(ClientCancelSecret(lease), si), peer)
	return renew, cancel
}

func leaseRoot(lease [32]byte, name string) Secret {
	tag := appendNetstring(nil, lease[:])
	return Secret(tagged(string(tag), []byte(name)))
}
