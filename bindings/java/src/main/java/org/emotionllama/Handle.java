package org.emotionllama;

import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.function.LongConsumer;
import java.util.function.LongFunction;

/**
 * A native handle. It is freed once: when it was closed, or its owner is not reachable any more, and no call uses it. To close never
 * waits; the last call that uses the handle frees it.
 */
final class Handle implements AutoCloseable {
    private static final Cleaner CLEANER = Cleaner.create();

    private final State state;
    private final String name;

    Handle(String name, long address, LongConsumer free) {
        this.name = name;
        this.state = new State(address, free);
        CLEANER.register(this, state);
    }

    /** What {@code call} gives for the address, which is valid until it returns. */
    <T> T use(LongFunction<T> call) {
        if (!state.enter()) {
            throw new IllegalStateException("the " + name + " is closed");
        }
        try {
            return call.apply(state.address);
        } finally {
            state.leave();
            Reference.reachabilityFence(this);
        }
    }

    /** Calls unless the handle is closed. */
    void ifOpen(LongConsumer call) {
        if (state.enter()) {
            try {
                call.accept(state.address);
            } finally {
                state.leave();
                Reference.reachabilityFence(this);
            }
        }
    }

    @Override
    public void close() {
        state.run();
    }

    /** Knows nothing of its owner, so that it keeps nothing alive. */
    private static final class State implements Runnable {
        private final long address;
        private final LongConsumer free;
        private int users;
        private boolean closed;

        State(long address, LongConsumer free) {
            this.address = address;
            this.free = free;
        }

        synchronized boolean enter() {
            if (closed) {
                return false;
            }
            users++;
            return true;
        }

        void leave() {
            boolean last;
            synchronized (this) {
                users--;
                last = closed && users == 0;
            }
            if (last) {
                free.accept(address);
            }
        }

        @Override
        public void run() {
            boolean last;
            synchronized (this) {
                last = !closed && users == 0;
                closed = true;
            }
            if (last) {
                free.accept(address);
            }
        }
    }
}
