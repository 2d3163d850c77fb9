package org.emotionllama;

/** Takes what the library logs. */
@FunctionalInterface
public interface LogListener {
    /**
     * Takes one message. Called from any thread, from several at once. What it throws goes to the thread's handler of uncaught exceptions.
     *
     * @param level its level
     * @param target the part of the library that it comes from
     * @param message the text; no media, transcripts or answers are in it
     */
    void log(LogLevel level, String target, String message);
}
