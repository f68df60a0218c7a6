package clearinghouse

import "errors"

var (
	// ErrExists means that there is a clearinghouse in the folder already.
	ErrExists = errors.New("there is a clearinghouse in this folder already")
	// ErrNone means that there is no clearinghouse in the folder.
	ErrNone = errors.New("there is no clearinghouse in this folder; make one with clearinghouse create")
	// ErrNoGrid means that the grid is not admitted here.
	ErrNoGrid = errors.New("grid is not admitted")
	// ErrNoRequest means that the grid has not asked to be admitted.
	ErrNoRequest = errors.New("grid has not asked to be admitted")
	// ErrArgument means that an argument makes no sense.
	ErrArgument = errors.New("argument refused")
)
