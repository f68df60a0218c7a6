// Package mutable reads and writes mutable files on the storage servers of one grid.
//
// [Files] does what a member of the grid can do with a mutable file, SDMF or MDMF: [Files.Create], [Files.Overwrite],
// [Files.WriteAt], [Files.Modify], [Files.Open], [Files.Check], [Files.Repair]. What goes to the servers is made by grid/ssk; a
// server is a transfer.Server, whatever it speaks.
//
// # Reading
//
// Every read asks all servers at once what they have, since only that shows the newest version. [Files.Open] verifies
// signatures and hash chains, and returns the newest version of which k good shares are there: by sequence number, and of several
// with the same number that on most servers. It waits for as many servers as it takes to see any acknowledged version (all but
// Happy-1), for the others as long as they are as quick, and for silent ones only while something newer is partly there. Then
// [Version.ReadBlocks] fetches blocks of k shares, each checked before it is used, from other servers where one lies, fails or is
// slow; who lied is in [Version.Blamed] and told so. A share that was overwritten meanwhile is no lie. [Seen] remembers what was
// there, so that servers cannot go back unnoticed: [ErrRollback].
//
// # Writing
//
// A writer looks at all servers, makes the next version from the newest, and sends each server its shares under the test that
// the server still has what it had. It does so first with one server, the first of the permuted order that has any, and with the
// others when that one has it: so writers that race meet where nothing is lost yet. If one test fails, somebody else has written.
// [Files.Modify] then starts again from what they wrote, and always publishes once more, even if there is nothing left to
// change; the others report [ErrUncoordinated]. A version is acknowledged if every test held that was answered, and Happy servers
// hold a share of their own of it; less is transfer.ErrUnhappy. Servers that do not answer are left behind as soon as the others
// are enough. Of an answer that was lost it is looked up what was done.
//
// # Why an acknowledged change is not lost
//
// Let V be acknowledged, and W a version that somebody publishes later or at the same time. Both are on Happy servers when they
// are acknowledged, so at least one server has had both. There V's test was against what V's writer saw and W's against what W's
// saw, and a server changes a slot at one stroke: either W's writer saw V there, or one that replaced it, or V's writer saw W. So
// of two acknowledged versions one has seen the other. It remains that who sees V bases itself on V, or on a version that does:
//
//   - If V is complete when W's writer looks, it is on Happy servers less those that were replaced after having been seen. A
//     writer goes on only if Happy servers answer, so it finds V with k shares or what came of it, and takes the newest of what
//     it finds. Of two with one number, V and one whose writer was beaten, V is on more servers and alone can have been
//     acknowledged.
//   - If V is under way, W's writer sees that: some servers have it, and those that have something older may get it yet. Such a
//     state is not settled, and W's writer looks again until V is complete, or cannot be completed any more because others hold
//     too many servers, or nothing has moved for [Config.Settle]. V's writer for its part acknowledges what took more than half
//     of that only after it has looked once more and found V standing and nobody beside it.
//   - W's writer does not take a failed version of its own as base while there is one of somebody else that is newer than what
//     it was made from: that other one may have been acknowledged.
//   - Where remains of a newer version are passed over, W is sent to one server after the other, until so many have it that the
//     writer of the remains can reach too few, if it should be alive after all.
//   - Remains that could be a whole version together with servers which did not answer are not passed over: [ErrUnsettled].
//
// When writers are killed at any point the version they replaced, or the one that they began, is still there: with 2k-1 shares of
// the old version or more, n being at least that, either of the two has k. If fewer are left, servers that do not have the old
// version are written to first. If writers that race have cut each other's versions to pieces all the same, each has the contents
// it wants in memory and tries again.
//
// One gap is left where k is not more than n-Happy, as in 3 of 10 with 7: a writer that passes over remains, while a third is
// writing past it, may put its version on just the n-Happy servers that the third did not reach, under a higher number, before it
// sees what happened. Then readers take that one until it has tried again, a moment later; should it be killed in this moment,
// what the third was told is lost. With k more than n-Happy such a version cannot be read, and the gap is closed.
//
// All this holds if
//
//   - Happy, the same for all writers, is more than half of the servers that may hold shares of the file, and n servers or fewer
//     do: writers put shares on servers that have none only while shares are missing or servers failed. With 3 Happy > 2 n, as in
//     7 of 10, also what a writer sees with n-Happy servers silent is enough;
//   - servers keep what they have synced, and fewer than k of them lie or go back to older states; one that says it has written
//     and has not counts towards Happy all the same;
//   - what a writer has sent arrives within Settle or not at all, and clocks run about equally fast.
//
// Other software that writes to the same file, as a Tahoe-LAFS client does, tests what it overwrites in the same way but does
// not look again: of what races with it, its own changes may be lost.
//
// TestModel plays writers that race, are cut off, lose answers and are killed, in virtual time.
package mutable
