package org.emotionllama;

/** A call failed. {@link #getMessage()} is a sentence for a person: what happened, where, and what to do. */
public final class EmotionLLaMAException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The number. */
    private final int code;

    /** The name. */
    private final String name;

    EmotionLLaMAException(int code, String name, String message, Throwable cause) {
        super(message, cause);
        this.code = code;
        this.name = name;
    }

    EmotionLLaMAException(ErrorCode code, String message, Throwable cause) {
        this(code.code(), code.label(), message, cause);
    }

    /**
     * The number of the failure.
     *
     * @return the same in every release, for example 4
     */
    public int code() {
        return code;
    }

    /**
     * The name of the failure.
     *
     * @return the same in every release, for example {@code not_found}
     */
    public String name() {
        return name;
    }

    /**
     * The failure for a {@code switch}.
     *
     * @return {@link ErrorCode#UNKNOWN} when a later library has one that this client does not know
     */
    public ErrorCode errorCode() {
        return ErrorCode.of(code);
    }

    /**
     * The HTTP status that the server gives it.
     *
     * @return for example 404; 0 when {@link #errorCode()} is {@link ErrorCode#UNKNOWN}
     */
    public int httpStatus() {
        return errorCode().httpStatus();
    }
}
