package org.emotionllama;

import java.nio.ByteBuffer;

/** A clip that is not a file. */
sealed interface Clip {
    /** The rest of {@code data}. */
    record Bytes(ByteBuffer data) implements Clip {}

    /** The last {@code seconds} of {@code buffer}, 0 for all. */
    record OfLive(Live buffer, double seconds) implements Clip {}
}
