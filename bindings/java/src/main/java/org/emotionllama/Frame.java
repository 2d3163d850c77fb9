package org.emotionllama;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * One picture as a camera gives it.
 *
 * @param format how the pixels lie
 * @param width width in pixels
 * @param height height in pixels
 * @param timeS when it was taken, in seconds, on the clock that the sound has too
 * @param planes the planes that the format has
 */
public record Frame(PixelFormat format, int width, int height, double timeS, List<Plane> planes) {
    private static final int MOST_PLANES = 3;
    private static final int LONGEST_SIDE = 16384;

    /** The list is copied, the pixels are not. */
    public Frame {
        planes = List.copyOf(planes);
        if (planes.size() > MOST_PLANES) {
            throw new EmotionLLaMAException(
                    ErrorCode.INVALID_ARGUMENT, "a frame has " + planes.size() + " planes; no format has more than " + MOST_PLANES, null);
        }
    }

    /**
     * A picture whose rows and planes follow each other without gaps.
     *
     * @param format how the pixels lie
     * @param width width in pixels
     * @param height height in pixels
     * @param timeS when it was taken, in seconds
     * @param pixels the bytes from position on; a direct buffer is read where it lies
     * @return a frame
     */
    public static Frame of(PixelFormat format, int width, int height, double timeS, ByteBuffer pixels) {
        if (width < 1 || height < 1 || width > LONGEST_SIDE || height > LONGEST_SIDE) {
            throw new EmotionLLaMAException(ErrorCode.INVALID_ARGUMENT,
                    "a frame of " + width + " x " + height + " pixels; a side has 1 to " + LONGEST_SIDE, null);
        }
        List<Plane> planes = new ArrayList<>();
        int from = pixels.position();
        for (int[] plane : format.planes(width, height)) {
            int length = plane[0] * plane[1];
            if (pixels.limit() - from < length) {
                throw new EmotionLLaMAException(ErrorCode.INVALID_ARGUMENT,
                        "a frame of " + width + " x " + height + " pixels in " + format + " has more than the " + pixels.remaining()
                                + " bytes that were given", null);
            }
            planes.add(new Plane(pixels.slice(from, length), plane[0]));
            from += length;
        }
        return new Frame(format, width, height, timeS, planes);
    }

    /**
     * A picture whose rows and planes follow each other without gaps.
     *
     * @param format how the pixels lie
     * @param width width in pixels
     * @param height height in pixels
     * @param timeS when it was taken, in seconds
     * @param pixels the bytes
     * @return a frame
     */
    public static Frame of(PixelFormat format, int width, int height, double timeS, byte[] pixels) {
        return of(format, width, height, timeS, ByteBuffer.wrap(pixels));
    }

    /**
     * A plane of a picture.
     *
     * @param data from the first byte of the uppermost row on; a direct buffer is read where it lies
     * @param stride bytes from the start of one row to the start of the next
     */
    public record Plane(ByteBuffer data, int stride) {}
}
