package org.emotionllama;

import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongFunction;
import java.util.function.Supplier;

/**
 * Runs native calls on threads of its own. A call that waits thus can be interrupted, and a virtual thread that waits leaves its carrier,
 * which it could not while it is in native code.
 */
final class Calls {
    private static final AtomicInteger NUMBER = new AtomicInteger();

    /** Daemons: they do not keep the JVM from ending in the middle of a call. */
    private static final ExecutorService WORKERS =
            new ThreadPoolExecutor(0, Integer.MAX_VALUE, 10, TimeUnit.SECONDS, new SynchronousQueue<>(), work -> {
                Thread thread = new Thread(null, work, "emotion-llama-" + NUMBER.incrementAndGet(), 0, false);
                thread.setDaemon(true);
                return thread;
            });

    private Calls() {}

    /**
     * Begins {@code work}, which is given a cancel token. When the future ends before its work, by a cancel or a timeout, the work is asked
     * to stop, and what it still makes is closed.
     */
    static <T> CompletableFuture<T> start(LongFunction<T> work) {
        Token token = new Token();
        return start(token, () -> {
            try (token) {
                return token.handle.use(work);
            }
        });
    }

    /** As above for work that {@code token} stops already. */
    static <T> CompletableFuture<T> start(Token token, Supplier<T> work) {
        CompletableFuture<T> future = new CompletableFuture<>();
        future.whenComplete((value, error) -> {
            if (error != null) {
                token.request();
            }
        });
        WORKERS.execute(() -> {
            try {
                T value = work.get();
                if (!future.complete(value) && value instanceof AutoCloseable made) {
                    made.close();
                }
            } catch (Throwable error) {
                future.completeExceptionally(error);
            }
        });
        return future;
    }

    static void execute(Runnable work) {
        WORKERS.execute(work);
    }

    /**
     * What the future gives. An interrupt stops the work: it is {@code cancelled}, and the thread is interrupted as before.
     */
    static <T> T await(CompletableFuture<T> future) {
        try {
            return future.get();
        } catch (InterruptedException interrupt) {
            future.cancel(true);
            Thread.currentThread().interrupt();
            throw new EmotionLLaMAException(ErrorCode.CANCELLED, "the thread was interrupted", interrupt);
        } catch (CancellationException cancelled) {
            throw new EmotionLLaMAException(ErrorCode.CANCELLED, "the call was cancelled", cancelled);
        } catch (ExecutionException failed) {
            Throwable cause = failed.getCause();
            if (cause instanceof EmotionLLaMAException error) {
                // Made anew, so that its stack is the caller's; the worker's is its cause.
                throw new EmotionLLaMAException(error.code(), error.name(), error.getMessage(), error);
            }
            if (cause instanceof RuntimeException error) {
                throw error;
            }
            if (cause instanceof Error error) {
                throw error;
            }
            throw new IllegalStateException(cause);
        }
    }
}
