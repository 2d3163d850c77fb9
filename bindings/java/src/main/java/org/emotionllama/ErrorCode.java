package org.emotionllama;

import java.util.Locale;

/** Why a call failed; number and name are the same in every release and every language. */
public enum ErrorCode {
    /** A failure that this release of the client does not know; {@link EmotionLLaMAException#name()} says more. */
    UNKNOWN(0, 0),
    /** An option or argument has a value that cannot be used. */
    INVALID_ARGUMENT(1, 400),
    /** The input is not media that can be decoded. */
    MEDIA_UNDECODABLE(2, 400),
    /** The input goes beyond a limit. */
    MEDIA_TOO_LARGE(3, 413),
    /** A file, pack or library is not there. */
    NOT_FOUND(4, 404),
    /** A pack is there but cannot be used. */
    PACK_INVALID(5, 500),
    /** Memory or threads ran out. */
    OUT_OF_MEMORY(6, 503),
    /** Too much is already running; try again. */
    OVERLOADED(7, 503),
    /** The work was cancelled. */
    CANCELLED(8, 499),
    /** The work took longer than was allowed. */
    TIMEOUT(9, 504),
    /** A defect in the library. */
    INTERNAL(10, 500),
    /** There is no way to the server, or it is no Emotion-LLaMA server. */
    UNREACHABLE(11, 502);

    private final int code;
    private final int httpStatus;

    ErrorCode(int code, int httpStatus) {
        this.code = code;
        this.httpStatus = httpStatus;
    }

    /**
     * The number.
     *
     * @return as the C interface has it, for example 4
     */
    public int code() {
        return code;
    }

    /**
     * The name.
     *
     * @return as every interface has it, for example {@code not_found}
     */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * The HTTP status that the server gives it.
     *
     * @return for example 404; 0 for {@link #UNKNOWN}
     */
    public int httpStatus() {
        return httpStatus;
    }

    static ErrorCode of(int code) {
        for (ErrorCode known : values()) {
            if (known.code == code) {
                return known;
            }
        }
        return UNKNOWN;
    }
}
