package org.emotionllama;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/**
 * A conversation about one clip, which is decoded and read once. It answers one question at a time; a second one that comes meanwhile is
 * {@code overloaded}. A question that fails or is cancelled leaves the conversation as it was.
 */
public final class Session implements AutoCloseable {
    private final Handle handle;

    Session(long address) {
        handle = new Handle("session", address, Ffi.get()::sessionFree);
    }

    /**
     * Asks a question; a follow-up such as "Why?" is understood.
     *
     * @param prompt the question
     * @return the answer
     * @throws EmotionLLaMAException when it fails, or when the thread is interrupted ({@code cancelled})
     */
    public Analysis ask(String prompt) {
        return ask(Request.question(prompt));
    }

    /**
     * Asks a question.
     *
     * @param question a request without what concerns the clip
     * @return the answer
     * @throws EmotionLLaMAException when it fails, or when the thread is interrupted ({@code cancelled})
     */
    public Analysis ask(Request question) {
        return Calls.await(askAsync(question));
    }

    /**
     * Asks a question without waiting.
     *
     * @param question a request without what concerns the clip
     * @return the answer, later; to cancel it stops the library's work
     */
    public CompletableFuture<Analysis> askAsync(Request question) {
        String json = question(question);
        return Calls.start(
                cancel -> Analysis.fromJson(handle.use(session -> Ffi.get().sessionAsk(session, json, cancel))));
    }

    /**
     * Asks a question and gives its events as they come.
     *
     * @param question a request without what concerns the clip
     * @return the events; to be closed
     * @throws EmotionLLaMAException when it cannot begin
     */
    public EventStream stream(Request question) {
        return Calls.await(streamAsync(question));
    }

    /**
     * The events of a question, which is asked when somebody subscribes.
     *
     * @param question a request without what concerns the clip
     * @return the events; to cancel the subscription stops the library's work
     */
    public Flow.Publisher<Event> publisher(Request question) {
        return new EventPublisher(() -> streamAsync(question));
    }

    /**
     * Forgets the questions and answers and keeps the clip.
     *
     * @throws EmotionLLaMAException {@code overloaded} while a question is being answered
     */
    public void reset() {
        Calls.await(Calls.start(cancel -> handle.use(session -> {
            Ffi.get().sessionReset(session);
            return null;
        })));
    }

    /** Ends the conversation, without waiting: a question that is being answered is answered. May be called again. */
    @Override
    public void close() {
        handle.close();
    }

    private CompletableFuture<EventStream> streamAsync(Request question) {
        String json = question(question);
        return EventStream.open(cancel -> handle.use(session -> Ffi.get().sessionAskStream(session, json, cancel)));
    }

    private static String question(Request question) {
        if (question.clip() != null) {
            throw new EmotionLLaMAException(ErrorCode.INVALID_ARGUMENT,
                    "the question has a clip; it was given when the conversation began", null);
        }
        return question.json();
    }
}
