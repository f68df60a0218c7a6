package gbs

import (
	"context"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// Server is one Tahoe storage server. It implements transfer.Server; all methods are safe for concurrent use.
type Server struct{ cfg Config }

// New makes a client of a server, without connecting.
//
// Errors: ErrConfig.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg}, nil
}

// Close ends every call and connection, and waits for them.
func (s *Server) Close() error { return nil }

func (s *Server) Key() caps.PublicKey     { return s.cfg.Key }
func (s *Server) PeerID20() [20]byte      { return s.cfg.PeerID20 }
func (s *Server) PermutationSeed() []byte { return s.cfg.PermutationSeed }
func (s *Server) Shares(ctx context.Context, si caps.StorageIndex) ([]storage.ShareInfo, error) {
	return nil, nil
}

func (s *Server) Read(ctx context.Context, si caps.StorageIndex, num int, ranges []storage.Range, dst [][]byte) error {
	return storage.ErrNotFound
}

func (s *Server) Allocate(ctx context.Context, si caps.StorageIndex, nums []int, size uint64, renew, cancel [32]byte) (have, allocated []int, err error) {
	return nil, nil, storage.ErrReadOnly
}

func (s *Server) Write(ctx context.Context, si caps.StorageIndex, num int, offset uint64, data []byte) error {
	return storage.ErrNoUpload
}

func (s *Server) Commit(ctx context.Context, si caps.StorageIndex, num int) error {
	return storage.ErrNoUpload
}

func (s *Server) Abort(ctx context.Context, si caps.StorageIndex, num int) error {
	return storage.ErrNoUpload
}

func (s *Server) AddLease(ctx context.Context, si caps.StorageIndex, renew, cancel [32]byte) error {
	return storage.ErrNotFound
}

func (s *Server) ReadSlot(ctx context.Context, si caps.StorageIndex, nums []int, ranges []storage.Range) (map[int][][]byte, error) {
	return nil, nil
}

func (s *Server) TestWrite(ctx context.Context, si caps.StorageIndex, t storage.TestWrite) (storage.TestWriteResult, error) {
	return storage.TestWriteResult{}, storage.ErrReadOnly
}

func (s *Server) Advise(ctx context.Context, si caps.StorageIndex, num int, reason string) error {
	return storage.ErrNotFound
}
