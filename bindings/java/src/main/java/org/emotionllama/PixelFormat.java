package org.emotionllama;

/** How the pixels of a {@link Frame} lie. */
public enum PixelFormat {
    /** 3 bytes a pixel, red first. */
    RGB(1),
    /** 3 bytes a pixel, blue first. */
    BGR(2),
    /** 4 bytes a pixel, red first, then alpha, which is dropped. */
    RGBA(3),
    /** 4 bytes a pixel, blue first, then alpha, which is dropped. */
    BGRA(4),
    /** A plane of luma, and one with a blue and a red chroma byte for every 2 x 2 pixels. */
    NV12(5),
    /** A plane of luma, one of blue and one of red chroma with a byte for every 2 x 2 pixels. */
    I420(6),
    /** 1 byte a pixel. */
    GRAY(7);

    private final int code;

    PixelFormat(int code) {
        this.code = code;
    }

    int code() {
        return code;
    }

    /** Bytes of a row and number of rows of each plane, where rows follow each other without gaps. */
    int[][] planes(int width, int height) {
        int halfWidth = width / 2 + width % 2;
        int halfHeight = height / 2 + height % 2;
        return switch (this) {
            case RGB, BGR -> new int[][] {{3 * width, height}};
            case RGBA, BGRA -> new int[][] {{4 * width, height}};
            case GRAY -> new int[][] {{width, height}};
            case NV12 -> new int[][] {{width, height}, {2 * halfWidth, halfHeight}};
            case I420 -> new int[][] {{width, height}, {halfWidth, halfHeight}, {halfWidth, halfHeight}};
        };
    }
}
