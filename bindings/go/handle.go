package emotionllama

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// openHandles counts what was made in the library and not freed yet, for the tests.
var openHandles atomic.Int64

// handle owns an object of the library. It is freed once it is closed and no call uses it.
type handle[T any] struct {
	native *T
	free   func(*T)

	mutex  sync.Mutex
	users  int
	closed bool
}

func newHandle[T any](native *T, free func(*T)) *handle[T] {
	openHandles.Add(1)
	return &handle[T]{native: native, free: free}
}

// owned makes a handle that is closed at the latest when owner is forgotten.
func owned[O, T any](owner *O, native *T, free func(*T)) *handle[T] {
	h := newHandle(native, free)
	runtime.AddCleanup(owner, (*handle[T]).close, h)
	return h
}

// acquire keeps the object until release; it fails on a handle that is closed. The owner must be kept alive until it returns.
func (h *handle[T]) acquire() (*T, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.closed {
		return nil, newError(InvalidArgument, "it was closed before this call", ErrClosed)
	}
	h.users++
	return h.native, nil
}

func (h *handle[T]) release() {
	h.mutex.Lock()
	h.users--
	last := h.closed && h.users == 0
	h.mutex.Unlock()
	if last {
		h.destroy()
	}
}

func (h *handle[T]) close() {
	h.mutex.Lock()
	last := !h.closed && h.users == 0
	h.closed = true
	h.mutex.Unlock()
	if last {
		h.destroy()
	}
}

func (h *handle[T]) destroy() {
	h.free(h.native)
	openHandles.Add(-1)
}

// registry numbers Go values, so that the library can be given a number in place of a pointer.
type registry[V any] struct {
	mutex  sync.RWMutex
	last   uintptr
	values map[uintptr]V
}

func (r *registry[V]) add(value V) uintptr {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.values == nil {
		r.values = make(map[uintptr]V)
	}
	r.last++
	r.values[r.last] = value
	return r.last
}

func (r *registry[V]) get(number uintptr) (V, bool) {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	value, there := r.values[number]
	return value, there
}

func (r *registry[V]) remove(number uintptr) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.values, number)
}
