package mutable

import "trunkline/grid/transfer"

// Servers gives tests another client's view of the same grid.
func (f *Files) Servers() func() []transfer.Server { return f.cfg.Servers }
