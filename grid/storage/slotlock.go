package storage

import (
	"sync"

	"trunkline/caps"
)

// slotLocks has a lock for each slot that somebody is at: shared to open its shares, alone to change them.
type slotLocks struct {
	mu   sync.Mutex
	held map[caps.StorageIndex]*slotLock
}

type slotLock struct {
	sync.RWMutex
	users int
}

func newSlotLocks() *slotLocks { return &slotLocks{held: make(map[caps.StorageIndex]*slotLock)} }

// lock waits until the slot is the caller's alone, and returns what ends that.
func (s *slotLocks) lock(si caps.StorageIndex) (unlock func()) {
	l := s.enter(si)
	l.Lock()
	return func() {
		l.Unlock()
		s.leave(si, l)
	}
}

// rlock waits until nobody changes the slot.
func (s *slotLocks) rlock(si caps.StorageIndex) (unlock func()) {
	l := s.enter(si)
	l.RLock()
	return func() {
		l.RUnlock()
		s.leave(si, l)
	}
}

func (s *slotLocks) enter(si caps.StorageIndex) *slotLock {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.held[si]
	if l == nil {
		l = new(slotLock)
		s.held[si] = l
	}
	l.users++
	return l
}

func (s *slotLocks) leave(si caps.StorageIndex, l *slotLock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(s.held, si)
	}
}
