package org.emotionllama;

import java.util.Locale;

/** Whether a local file is sent to the server. */
public enum Upload {
    /** A file that can be read here is sent; any other path is taken for one of the server's machine. */
    AUTO,
    /** Every path is one of the server's machine. Bytes are sent. */
    NEVER;

    String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
