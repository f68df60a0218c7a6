package dirnode

// For the known answers.
var (
	SealWriteCap = sealWriteCap
	OpenWriteCap = openWriteCap
	PythonJSON   = pythonJSON
)
