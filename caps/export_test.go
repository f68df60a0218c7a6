package caps

// Inner functions that Tahoe's vectors have answers for.

func TestingOnlyNetstring(x []byte) []byte { return appendNetstring(nil, x) }

func TestingOnlyTagged(tag string, x []byte) Hash {
	return tagged(string(appendNetstring(nil, []byte(tag))), x)
}

func TestingOnlyTaggedPair(tag string, a, b []byte) Hash {
	return taggedPair(string(appendNetstring(nil, []byte(tag))), a, b)
}

func TestingOnlyTreePad(i int) Hash { return treePad(i) }

func TestingOnlyWriteEnablerMaster(k WriteKey) Hash {
	b := k.Bytes()
	return tagged(tagWriteEnablerMaster, b[:])
}
