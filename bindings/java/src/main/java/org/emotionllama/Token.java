package org.emotionllama;

/** Stops native calls from another thread. */
final class Token implements AutoCloseable {
    final Handle handle;

    Token() {
        Ffi ffi = Ffi.get();
        handle = new Handle("cancel token", ffi.cancelNew(), ffi::cancelFree);
    }

    /** Does nothing when it was closed: then no call is left that could be stopped. */
    void request() {
        handle.ifOpen(Ffi.get()::cancelRequest);
    }

    boolean requested() {
        return handle.use(Ffi.get()::cancelRequested);
    }

    @Override
    public void close() {
        handle.close();
    }
}
