package org.emotionllama;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The last seconds of a camera and a microphone. May be used by several threads at once: a camera's, a microphone's, and one that
 * analyses ({@link Request#live(Live)}). What is pushed is copied before the call returns.
 */
public final class Live implements AutoCloseable {
    final Handle handle;

    /**
     * An empty buffer.
     *
     * @throws EmotionLLaMAException when the library cannot be loaded
     */
    public Live() {
        this(new LiveOptions(null, null, null));
    }

    /**
     * An empty buffer.
     *
     * @param options what it keeps
     * @throws EmotionLLaMAException {@code invalid_argument}
     */
    public Live(LiveOptions options) {
        Ffi ffi = Ffi.get();
        handle = new Handle("live buffer", ffi.liveNew(Json.from(options).toString()), ffi::liveFree);
    }

    /**
     * Takes a picture, or leaves it out when pictures come faster than wanted.
     *
     * @param frame the picture
     * @throws EmotionLLaMAException when it cannot be used; the buffer is as before then
     */
    public void push(Frame frame) {
        handle.use(address -> {
            Ffi.get().livePush(address, frame);
            return null;
        });
    }

    /**
     * Takes a piece of sound. Pieces that follow each other become one sound; a gap of more than 0.1 s becomes silence.
     *
     * @param format the type of a sample
     * @param samples the samples of all channels by turns, from position to limit, in the machine's byte order; a direct buffer is read where
     *     it lies
     * @param rate samples per second and channel
     * @param channels number of channels
     * @param timeS when the first sample was taken, in seconds, on the clock that the pictures have too
     * @throws EmotionLLaMAException when it cannot be used; the buffer is as before then
     */
    public void push(SampleFormat format, ByteBuffer samples, int rate, int channels, double timeS) {
        handle.use(address -> {
            Ffi.get().livePush(address, format, samples, rate, channels, timeS);
            return null;
        });
    }

    /**
     * Takes a piece of sound.
     *
     * @param samples the samples of all channels by turns
     * @param rate samples per second and channel
     * @param channels number of channels
     * @param timeS when the first sample was taken, in seconds
     * @throws EmotionLLaMAException when it cannot be used; the buffer is as before then
     */
    public void push(short[] samples, int rate, int channels, double timeS) {
        ByteBuffer copy = direct(Short.BYTES * samples.length);
        copy.asShortBuffer().put(samples);
        push(SampleFormat.I16, copy, rate, channels, timeS);
    }

    /**
     * Takes a piece of sound.
     *
     * @param samples the samples of all channels by turns, full scale 1
     * @param rate samples per second and channel
     * @param channels number of channels
     * @param timeS when the first sample was taken, in seconds
     * @throws EmotionLLaMAException when it cannot be used; the buffer is as before then
     */
    public void push(float[] samples, int rate, int channels, double timeS) {
        ByteBuffer copy = direct(Float.BYTES * samples.length);
        copy.asFloatBuffer().put(samples);
        push(SampleFormat.F32, copy, rate, channels, timeS);
    }

    /**
     * What the buffer holds.
     *
     * @return what it holds
     */
    public LiveInfo info() {
        return Json.as(Json.object(handle.use(Ffi.get()::liveInfo)), LiveInfo.class);
    }

    /** Forgets all pictures and all sound; the clock begins anew. */
    public void clear() {
        handle.use(address -> {
            Ffi.get().liveClear(address);
            return null;
        });
    }

    /** Frees the buffer, without waiting: an analysis that was given it goes on. May be called again. */
    @Override
    public void close() {
        handle.close();
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }
}
