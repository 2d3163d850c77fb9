package org.emotionllama;

/** The type of a sample of sound, in the machine's byte order. */
public enum SampleFormat {
    /** 16-bit signed integers. */
    I16(1, 2),
    /** 32-bit floats, full scale 1. */
    F32(2, 4);

    private final int code;
    private final int bytes;

    SampleFormat(int code, int bytes) {
        this.code = code;
        this.bytes = bytes;
    }

    int code() {
        return code;
    }

    int bytes() {
        return bytes;
    }
}
