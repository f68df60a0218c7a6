// Package transfer moves immutable files between memory and the storage
// servers of one grid: [Upload] places shares, [Open] and [File.Read] are
// Tahoe's Download Helper.
//
// # Download
//
// [Open] takes a verify cap, so nothing here can read what it fetches. It asks
// servers in the order SHA-1(storage index ‖ seed), many at once, which shares
// they have; of each share it wants it reads the header, the end (block hash
// tree, share hash chain, UEB) in one round trip, and it returns when k
// distinct shares are proven to belong to the cap. Nobody is waited for who is
// not needed.
//
// [File.Read] then fetches groups of segments, about 1 MiB each, several ahead
// of the one being delivered. For every group it takes the k shares whose
// servers are expected to answer first. Each block is checked against its
// share's tree as it arrives, each decoded segment against the ciphertext
// tree, before fn sees a byte of it. A server that takes several times longer
// than its own past says is hedged with another share and rested for a while;
// one that lies is dropped for good, named in [File.Blamed] and told so; one
// that fails is tried again last. The leaves of each hash tree are kept one
// window of 4096 at a time, so memory is the same for a file of any size.
//
// Which bytes of a share matter. A share is refused if any byte that is used
// is wrong. Not used, and so not checked, are: in the header the block size,
// the data size and where the unused tree is; that tree; inner nodes and
// padding leaves of the two trees where all leaves below are read. A wrong leaf
// of the ciphertext tree names its server, whose blocks may be good all the
// same. TestEveryByteOfEveryShare holds this as a map of a share.
//
// # Upload
//
// [Upload] encodes segments on all cores and streams every share to its server
// at the same time, within a bounded window. Placement is Tahoe's servers of
// happiness: a maximum matching between servers and shares, existing shares
// first. A server that fails while a share is young is replaced by another and
// caught up by encoding again; one that fails later is done without as long as
// happiness holds, and named in [UploadResult.Lost]. Nothing is committed
// before every remaining share is complete, and everything is aborted if
// happiness cannot be reached.
//
// # Check and repair
//
// [Check] asks all servers at once which shares they have, and if told so reads
// every byte of them. [Repair] makes the shares that are missing from the
// ciphertext, which it reads as any reader does, and places them as [Upload]
// does: a verify cap is enough, the URI extension block stays, and so the cap.
package transfer
