package transfer

// Offer is what one server could contribute to a placement.
type Offer = offer

// NewOffer makes an Offer.
func NewOffer(have []int, takes bool) Offer { return offer{have, takes} }

// Spread places shares, for tests of its properties.
var Spread = spread

// MemoryPeak is the most bytes of segments and blocks that all reads of the
// file held at once, MemoryOut what is held now.
func (f *File) MemoryPeak() int64 { return f.segments.peak.Load() + f.blocks.peak.Load() }

// MemoryOut is the bytes held now.
func (f *File) MemoryOut() int64 { return f.segments.out.Load() + f.blocks.out.Load() }
