package org.emotionllama;

/** Is told how far a load is. */
@FunctionalInterface
public interface ProgressListener {
    /**
     * Is told how far the load is. Called on a thread of the client while the load waits. What it throws stops the load and comes out of
     * the call that loads.
     *
     * @param done bytes so far; the last time as many as {@code total}
     * @param total all bytes
     * @return whether to go on; false stops the load, which is {@code cancelled}
     */
    boolean progress(long done, long total);
}
