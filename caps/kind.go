package caps

// Kind says what a capability is for: which sort of object, and how much authority.
type Kind uint8

// The kinds, by their prefix in the text. Verify caps check and fetch ciphertext, and
// open nothing.
const (
	KindUnknown       Kind = iota // a later version's, kept as it came; also the zero Cap
	KindCHK                       // URI:CHK: read an immutable file
	KindCHKVerify                 // URI:CHK-Verifier:
	KindLiteral                   // URI:LIT: the content itself
	KindSDMF                      // URI:SSK: write a small mutable file
	KindSDMFRead                  // URI:SSK-RO:
	KindSDMFVerify                // URI:SSK-Verifier:
	KindMDMF                      // URI:MDMF: write a mutable file
	KindMDMFRead                  // URI:MDMF-RO:
	KindMDMFVerify                // URI:MDMF-Verifier:
	KindDirCHK                    // URI:DIR2-CHK: read an immutable directory
	KindDirCHKVerify              // URI:DIR2-CHK-Verifier:
	KindDirLiteral                // URI:DIR2-LIT:
	KindDirSDMF                   // URI:DIR2: write a directory
	KindDirSDMFRead               // URI:DIR2-RO:
	KindDirSDMFVerify             // URI:DIR2-Verifier:
	KindDirMDMF                   // URI:DIR2-MDMF: write a directory kept as MDMF
	KindDirMDMFRead               // URI:DIR2-MDMF-RO:
	KindDirMDMFVerify             // URI:DIR2-MDMF-Verifier:
	kinds
)

// shape is the grammar of a kind's body.
type shape uint8

const (
	shapeNone    shape = iota
	shapeCHK           // b26:b52:num:num:num
	shapeLiteral       // any base32
	shapeSDMF          // b26:b52
	shapeMDMF          // b26:b52, then perhaps ":" and anything
)

// power is what a capability allows, in falling order.
type power uint8

const (
	powerWrite  power = iota // change and read a mutable object
	powerRead                // read a mutable object
	powerFixed               // read an immutable object
	powerVerify              // check ciphertext
)

// kindFacts is one row of the table that the parser, the printer and the weakener share.
type kindFacts struct {
	name      string // between "URI:" and the body's colon
	shape     shape
	power     power
	directory bool
	readOnly  Kind // itself if it already is
	verify    Kind // KindUnknown if there is none
	twin      Kind // the directory over this file, the file under this directory
}

// facts is the row of k. It is a switch and not a variable because a package variable
// could be changed.
func (k Kind) facts() kindFacts {
	switch k {
	case KindCHK:
		return kindFacts{"CHK", shapeCHK, powerFixed, false, KindCHK, KindCHKVerify, KindDirCHK}
	case KindCHKVerify:
		return kindFacts{"CHK-Verifier", shapeCHK, powerVerify, false, KindCHKVerify, KindCHKVerify, KindDirCHKVerify}
	case KindLiteral:
		return kindFacts{"LIT", shapeLiteral, powerFixed, false, KindLiteral, KindUnknown, KindDirLiteral}
	case KindSDMF:
		return kindFacts{"SSK", shapeSDMF, powerWrite, false, KindSDMFRead, KindSDMFVerify, KindDirSDMF}
	case KindSDMFRead:
		return kindFacts{"SSK-RO", shapeSDMF, powerRead, false, KindSDMFRead, KindSDMFVerify, KindDirSDMFRead}
	case KindSDMFVerify:
		return kindFacts{"SSK-Verifier", shapeSDMF, powerVerify, false, KindSDMFVerify, KindSDMFVerify, KindDirSDMFVerify}
	case KindMDMF:
		return kindFacts{"MDMF", shapeMDMF, powerWrite, false, KindMDMFRead, KindMDMFVerify, KindDirMDMF}
	case KindMDMFRead:
		return kindFacts{"MDMF-RO", shapeMDMF, powerRead, false, KindMDMFRead, KindMDMFVerify, KindDirMDMFRead}
	case KindMDMFVerify:
		return kindFacts{"MDMF-Verifier", shapeMDMF, powerVerify, false, KindMDMFVerify, KindMDMFVerify, KindDirMDMFVerify}
	case KindDirCHK:
		return kindFacts{"DIR2-CHK", shapeCHK, powerFixed, true, KindDirCHK, KindDirCHKVerify, KindCHK}
	case KindDirCHKVerify:
		return kindFacts{"DIR2-CHK-Verifier", shapeCHK, powerVerify, true, KindDirCHKVerify, KindDirCHKVerify, KindCHKVerify}
	case KindDirLiteral:
		return kindFacts{"DIR2-LIT", shapeLiteral, powerFixed, true, KindDirLiteral, KindUnknown, KindLiteral}
	case KindDirSDMF:
		return kindFacts{"DIR2", shapeSDMF, powerWrite, true, KindDirSDMFRead, KindDirSDMFVerify, KindSDMF}
	case KindDirSDMFRead:
		return kindFacts{"DIR2-RO", shapeSDMF, powerRead, true, KindDirSDMFRead, KindDirSDMFVerify, KindSDMFRead}
	case KindDirSDMFVerify:
		return kindFacts{"DIR2-Verifier", shapeSDMF, powerVerify, true, KindDirSDMFVerify, KindDirSDMFVerify, KindSDMFVerify}
	case KindDirMDMF:
		return kindFacts{"DIR2-MDMF", shapeMDMF, powerWrite, true, KindDirMDMFRead, KindDirMDMFVerify, KindMDMF}
	case KindDirMDMFRead:
		return kindFacts{"DIR2-MDMF-RO", shapeMDMF, powerRead, true, KindDirMDMFRead, KindDirMDMFVerify, KindMDMFRead}
	case KindDirMDMFVerify:
		return kindFacts{"DIR2-MDMF-Verifier", shapeMDMF, powerVerify, true, KindDirMDMFVerify, KindDirMDMFVerify, KindMDMFVerify}
	}
	return kindFacts{name: "unknown", power: powerWrite}
}

// kindNamed finds the kind by what stands between "URI:" and the next colon.
func kindNamed(name string) (Kind, bool) {
	for k := KindUnknown + 1; k < kinds; k++ {
		if k.facts().name == name {
			return k, true
		}
	}
	return KindUnknown, false
}

// String is the kind as it stands in the text, such as "DIR2-RO", or "unknown".
func (k Kind) String() string { return k.facts().name }

// IsDirectory reports whether the object is a directory.
func (k Kind) IsDirectory() bool { return k.facts().directory }

// IsMutable reports whether the object can change. Verify caps and unknown ones answer
// no, as in Tahoe.
func (k Kind) IsMutable() bool {
	p := k.facts().power
	return k != KindUnknown && (p == powerWrite || p == powerRead)
}

// CanWrite reports whether the capability allows changing the object. Of an unknown kind
// nobody knows; the answer is no.
func (k Kind) CanWrite() bool { return k != KindUnknown && k.facts().power == powerWrite }

// CanRead reports whether the capability opens the contents. Of an unknown kind nobody
// knows; the answer is no.
func (k Kind) CanRead() bool { return k != KindUnknown && k.facts().power != powerVerify }

// IsVerify reports whether the capability only finds and checks ciphertext.
func (k Kind) IsVerify() bool { return k.facts().power == powerVerify }
