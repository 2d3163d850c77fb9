package org.emotionllama;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.LongUnaryOperator;

/**
 * The events of a running analysis, to be gone through once. {@link #hasNext()} waits for the next one and throws what the analysis failed
 * with. To close the stream, or to interrupt the thread that waits, stops the analysis.
 *
 * <p>The iterator is for one thread at a time; {@link #close()} and {@link #cancel()} may be called from any.
 */
public final class EventStream implements Iterator<Event>, Iterable<Event>, AutoCloseable {
    private final Token token;
    private final Handle handle;
    private Event next;
    private boolean ended;

    private EventStream(Token token, Handle handle) {
        this.token = token;
        this.handle = handle;
    }

    /** What {@code begin} begins with a cancel token's address. */
    static CompletableFuture<EventStream> open(LongUnaryOperator begin) {
        Token token = new Token();
        return Calls.start(token, () -> {
            Ffi ffi = Ffi.get();
            try {
                long address = token.handle.use(begin::applyAsLong);
                return new EventStream(token, new Handle("stream", address, ffi::streamFree));
            } catch (Throwable error) {
                token.close();
                throw error;
            }
        });
    }

    /** {@inheritDoc} */
    @Override
    public boolean hasNext() {
        if (next == null && !ended) {
            try {
                next = Calls.await(Calls.start(token, this::fetch)).orElse(null);
            } catch (RuntimeException | Error error) {
                ended = true;
                throw error;
            }
            ended = next == null;
        }
        return next != null;
    }

    /** {@inheritDoc} */
    @Override
    public Event next() {
        if (!hasNext()) {
            throw new NoSuchElementException("the stream has ended");
        }
        Event event = next;
        next = null;
        return event;
    }

    /**
     * The stream itself, for a {@code for} loop.
     *
     * @return this
     */
    @Override
    public Iterator<Event> iterator() {
        return this;
    }

    /** Stops the analysis: whoever waits for an event gets {@code cancelled}. */
    public void cancel() {
        token.request();
    }

    /** Stops the analysis if it still runs, without waiting for it. May be called again. */
    @Override
    public void close() {
        token.request();
        token.close();
        handle.close();
    }

    /** Waits on this thread; none when there is nothing more. */
    Optional<Event> fetch() {
        return Optional.ofNullable(handle.use(Ffi.get()::streamNext)).map(Event::fromJson);
    }
}
