package mutable

import (
	"context"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

const (
	// tiredTime is how long a server that was silent gets a tenth of the patience.
	tiredTime = 30 * time.Second
	// keysKept bounds the keys of files that were written, which are kept for the next write.
	keysKept = 64
)

// fileLocks has writers of one file follow each other.
type fileLocks struct {
	mu   sync.Mutex
	held map[caps.StorageIndex]*fileLock
}

type fileLock struct {
	turn  chan struct{} // holds one token while nobody has the lock
	users int
}

// lock waits for the file's turn. The caller calls unlock once.
func (l *fileLocks) lock(ctx context.Context, si caps.StorageIndex) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[caps.StorageIndex]*fileLock)
	}
	f := l.held[si]
	if f == nil {
		f = &fileLock{turn: make(chan struct{}, 1)}
		f.turn <- struct{}{}
		l.held[si] = f
	}
	f.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if f.users--; f.users == 0 {
			delete(l.held, si)
		}
	}
	select {
	case <-f.turn:
		return func() { f.turn <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// keyCache keeps the keys of some files.
type keyCache struct {
	mu   sync.Mutex
	keys map[caps.StorageIndex]*ssk.Keys
}

func (c *keyCache) get(si caps.StorageIndex) *ssk.Keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys[si]
}

func (c *keyCache) put(si caps.StorageIndex, keys *ssk.Keys) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = make(map[caps.StorageIndex]*ssk.Keys)
	}
	if len(c.keys) >= keysKept {
		for other := range c.keys { // any will do
			delete(c.keys, other)
			break
		}
	}
	c.keys[si] = keys
}

// tiredness remembers who was silent.
type tiredness struct {
	mu    sync.Mutex
	until map[caps.PublicKey]time.Time
}

// tire notes that a server was silent.
func (f *Files) tire(server caps.PublicKey) {
	f.silence.mu.Lock()
	defer f.silence.mu.Unlock()
	if f.silence.until == nil {
		f.silence.until = make(map[caps.PublicKey]time.Time)
	}
	f.silence.until[server] = f.cfg.Now().Add(tiredTime)
}

// wakeUp notes that it answered.
func (f *Files) wakeUp(server caps.PublicKey) {
	f.silence.mu.Lock()
	defer f.silence.mu.Unlock()
	delete(f.silence.until, server)
}

// tired says whether it was silent a while ago.
func (f *Files) tired(server caps.PublicKey) bool {
	f.silence.mu.Lock()
	defer f.silence.mu.Unlock()
	return f.cfg.Now().Before(f.silence.until[server])
}
