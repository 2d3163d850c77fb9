package org.emotionllama;

/** How much a message of the log matters. */
public enum LogLevel {
    /** Something failed, although no call may have. */
    ERROR(1),
    /** Something is not as it should be. */
    WARN(2),
    /** What happens, in broad strokes. */
    INFO(3),
    /** What happens, for those who look for a mistake. */
    DEBUG(4),
    /** Everything. */
    TRACE(5);

    private final int code;

    LogLevel(int code) {
        this.code = code;
    }

    int code() {
        return code;
    }

    /** A level that is not known is of a later release, and finer. */
    static LogLevel of(int code) {
        for (LogLevel known : values()) {
            if (known.code == code) {
                return known;
            }
        }
        return TRACE;
    }
}
