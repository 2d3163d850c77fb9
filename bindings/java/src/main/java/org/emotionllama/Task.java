package org.emotionllama;

import java.util.Locale;

/** What is asked of a clip. */
public enum Task {
    /** The emotion, as a label. */
    EMOTION,
    /** The emotion, and what shows it. */
    REASON,
    /** What the prompt says. */
    FREE;

    String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
