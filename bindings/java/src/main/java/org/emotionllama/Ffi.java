package org.emotionllama;

import com.sun.jna.Callback;
import com.sun.jna.CallbackThreadInitializer;
import com.sun.jna.Library;
import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import com.sun.jna.ptr.PointerByReference;
import java.io.File;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * The C ABI. No other class knows JNA, and none above sees more of the native side than addresses: where Java's own foreign function
 * interface is final (Java 22, not yet 17) this class alone would change.
 *
 * <p>Handles are addresses; 0 is NULL. Whoever calls sees to it that a handle is not freed before the call returns.
 */
final class Ffi {
    /** {@code EMOTION_LLAMA_ABI_VERSION}. */
    static final int ABI_VERSION = 1;

    /** The functions, by their names. A C {@code bool} is a byte here: JNA's own mapping of boolean is four bytes wide and true is -1. */
    interface Abi extends Library {
        int emotion_llama_abi_version();

        Pointer emotion_llama_version();

        Pointer emotion_llama_cancel_new(PointerByReference out);

        void emotion_llama_cancel_request(Pointer cancel);

        byte emotion_llama_cancel_requested(Pointer cancel);

        void emotion_llama_cancel_free(Pointer cancel);

        void emotion_llama_set_thread_count(int threads);

        Pointer emotion_llama_engine_open(
                String options, Pointer cancel, ProgressFunction progress, Pointer userdata, PointerByReference out);

        Pointer emotion_llama_engine_info(Pointer engine, PointerByReference out);

        Pointer emotion_llama_analyze(Pointer engine, String request, Media media, Pointer cancel, PointerByReference out);

        void emotion_llama_engine_free(Pointer engine);

        Pointer emotion_llama_live_new(String options, PointerByReference out);

        Pointer emotion_llama_live_push_frame(Pointer live, Frame frame);

        Pointer emotion_llama_live_push_samples(Pointer live, Samples samples);

        Pointer emotion_llama_live_info(Pointer live, PointerByReference out);

        void emotion_llama_live_clear(Pointer live);

        void emotion_llama_live_free(Pointer live);

        Pointer emotion_llama_set_log(LogFunction function, Pointer userdata, int level);

        Pointer emotion_llama_session_new(Pointer engine, String request, Media media, Pointer cancel, PointerByReference out);

        Pointer emotion_llama_session_ask(Pointer session, String request, Pointer cancel, PointerByReference out);

        Pointer emotion_llama_session_ask_stream(Pointer session, String request, Pointer cancel, PointerByReference out);

        Pointer emotion_llama_session_reset(Pointer session);

        void emotion_llama_session_free(Pointer session);

        int emotion_llama_status_code(Pointer status);

        Pointer emotion_llama_status_name(Pointer status);

        Pointer emotion_llama_status_message(Pointer status);

        void emotion_llama_status_free(Pointer status);

        Pointer emotion_llama_analyze_stream(Pointer engine, String request, Media media, Pointer cancel, PointerByReference out);

        Pointer emotion_llama_stream_next(Pointer stream, PointerByReference out);

        void emotion_llama_stream_free(Pointer stream);

        Pointer emotion_llama_text_data(Pointer text);

        long emotion_llama_text_length(Pointer text);

        void emotion_llama_text_free(Pointer text);
    }

    /** {@code emotion_llama_progress_function}. */
    interface ProgressFunction extends Callback {
        byte callback(Pointer userdata, long done, long total);
    }

    /** {@code emotion_llama_log_function}. */
    interface LogFunction extends Callback {
        void callback(Pointer userdata, int level, Pointer target, Pointer message);
    }

    /** {@code emotion_llama_media}. */
    @FieldOrder({"size", "data", "length", "live", "seconds"})
    public static final class Media extends Structure {
        public long size;
        public Pointer data;
        public long length;
        public Pointer live;
        public double seconds;
    }

    /** {@code emotion_llama_frame}. */
    @FieldOrder({"size", "format", "width", "height", "reserved", "time_s", "planes", "strides", "lengths"})
    public static final class Frame extends Structure {
        public long size;
        public int format;
        public int width;
        public int height;
        public int reserved;
        public double time_s;
        public Pointer[] planes = new Pointer[3];
        public long[] strides = new long[3];
        public long[] lengths = new long[3];
    }

    /** {@code emotion_llama_samples}. */
    @FieldOrder({"size", "format", "rate", "channels", "reserved", "time_s", "data", "count"})
    public static final class Samples extends Structure {
        public long size;
        public int format;
        public int rate;
        public int channels;
        public int reserved;
        public double time_s;
        public Pointer data;
        public long count;
    }

    private static volatile Ffi loaded;

    /** Set on a thread that is in the log's listener. */
    private static final ThreadLocal<Boolean> LOGGING = new ThreadLocal<>();

    private final Abi abi;
    private final File file;
    /** What the log calls, which the garbage collector must not take while it is set. */
    private LogFunction log;

    private Ffi(Abi abi, File file) {
        this.abi = abi;
        this.file = file;
    }

    /**
     * The library, loaded by the first call: from the jar, else the file that {@code EMOTION_LLAMA_LIBRARY} names, else the system's.
     *
     * @throws EmotionLLaMAException when there is none, or one with another ABI; the next call tries again
     */
    static Ffi get() {
        Ffi ffi = loaded;
        if (ffi == null) {
            synchronized (Ffi.class) {
                ffi = loaded;
                if (ffi == null) {
                    ffi = load(NativeFiles.library());
                    loaded = ffi;
                }
            }
        }
        return ffi;
    }

    static Ffi load(Optional<Path> found) {
        String name = found.map(Path::toString).orElse("libemotionllama.so." + ABI_VERSION);
        if (found.isEmpty() && !NativeFiles.platform().startsWith("linux")) {
            name = "emotionllama";
        }
        Abi abi;
        File file;
        try {
            if (Native.POINTER_SIZE != 8) {
                throw new UnsatisfiedLinkError("this is a " + 8 * Native.POINTER_SIZE + " bit Java; the library is there for 64 bit only");
            }
            abi = Native.load(name, Abi.class, Map.of(Library.OPTION_STRING_ENCODING, "UTF-8"));
            file = NativeLibrary.getInstance(name, Map.of(Library.OPTION_STRING_ENCODING, "UTF-8")).getFile();
        } catch (LinkageError error) {
            String where = found.map(path -> path + " cannot be loaded").orElse(
                    "the jar has no library for " + NativeFiles.platform() + ", EMOTION_LLAMA_LIBRARY is not set, and the system has none");
            // The further lines are where JNA looked in the jars for it.
            String why = String.valueOf(error.getMessage()).lines().limit(2).collect(Collectors.joining(" "));
            throw new EmotionLLaMAException(ErrorCode.NOT_FOUND, where + ": " + why, error);
        }
        int version;
        try {
            version = abi.emotion_llama_abi_version();
        } catch (LinkageError error) {
            throw new EmotionLLaMAException(ErrorCode.INTERNAL, name + " is no libemotionllama: " + error.getMessage(), error);
        }
        checkVersion(version, name);
        return new Ffi(abi, file);
    }

    static void checkVersion(int version, String name) {
        if (version != ABI_VERSION) {
            throw new EmotionLLaMAException(ErrorCode.INTERNAL,
                    name + " has version " + version + " of the ABI, and this client needs " + ABI_VERSION + "; use releases that fit", null);
        }
    }

    /** The file of the library, where the loader says it. */
    Optional<Path> file() {
        return Optional.ofNullable(file).map(File::toPath).filter(Path::isAbsolute);
    }

    String version() {
        return string(abi.emotion_llama_version());
    }

    void setThreadCount(int threads) {
        abi.emotion_llama_set_thread_count(threads);
    }

    long cancelNew() {
        return made(abi::emotion_llama_cancel_new);
    }

    void cancelRequest(long cancel) {
        abi.emotion_llama_cancel_request(pointer(cancel));
    }

    boolean cancelRequested(long cancel) {
        return abi.emotion_llama_cancel_requested(pointer(cancel)) != 0;
    }

    void cancelFree(long cancel) {
        abi.emotion_llama_cancel_free(pointer(cancel));
    }

    long engineOpen(String options, long cancel, ProgressListener listener) {
        if (listener == null) {
            return made(out -> abi.emotion_llama_engine_open(options, pointer(cancel), null, null, out));
        }
        Throwable[] thrown = new Throwable[1];
        ProgressFunction function = (userdata, done, total) -> {
            try {
                return (byte) (listener.progress(done, total) ? 1 : 0);
            } catch (Throwable error) {
                thrown[0] = error;
                return 0;
            }
        };
        try {
            return made(out -> abi.emotion_llama_engine_open(options, pointer(cancel), function, null, out));
        } catch (EmotionLLaMAException error) {
            if (thrown[0] instanceof RuntimeException of) {
                throw of;
            }
            if (thrown[0] instanceof Error of) {
                throw of;
            }
            throw error;
        } finally {
            Reference.reachabilityFence(function);
        }
    }

    String engineInfo(long engine) {
        return text(out -> abi.emotion_llama_engine_info(pointer(engine), out));
    }

    void engineFree(long engine) {
        abi.emotion_llama_engine_free(pointer(engine));
    }

    String analyze(long engine, String request, Clip clip, long cancel) {
        return withMedia(clip, media -> text(out -> abi.emotion_llama_analyze(pointer(engine), request, media, pointer(cancel), out)));
    }

    long analyzeStream(long engine, String request, Clip clip, long cancel) {
        return withMedia(
                clip, media -> made(out -> abi.emotion_llama_analyze_stream(pointer(engine), request, media, pointer(cancel), out)));
    }

    long sessionNew(long engine, String request, Clip clip, long cancel) {
        return withMedia(
                clip, media -> made(out -> abi.emotion_llama_session_new(pointer(engine), request, media, pointer(cancel), out)));
    }

    String sessionAsk(long session, String request, long cancel) {
        return text(out -> abi.emotion_llama_session_ask(pointer(session), request, pointer(cancel), out));
    }

    long sessionAskStream(long session, String request, long cancel) {
        return made(out -> abi.emotion_llama_session_ask_stream(pointer(session), request, pointer(cancel), out));
    }

    void sessionReset(long session) {
        check(abi.emotion_llama_session_reset(pointer(session)));
    }

    void sessionFree(long session) {
        abi.emotion_llama_session_free(pointer(session));
    }

    /** The next event; null when there is nothing more. */
    String streamNext(long stream) {
        return text(out -> abi.emotion_llama_stream_next(pointer(stream), out));
    }

    void streamFree(long stream) {
        abi.emotion_llama_stream_free(pointer(stream));
    }

    long liveNew(String options) {
        return made(out -> abi.emotion_llama_live_new(options, out));
    }

    void livePush(long live, org.emotionllama.Frame picture) {
        Frame frame = new Frame();
        frame.size = frame.size();
        frame.format = picture.format().code();
        frame.width = picture.width();
        frame.height = picture.height();
        frame.time_s = picture.timeS();
        List<Memory> copies = new ArrayList<>();
        try {
            int number = 0;
            for (org.emotionllama.Frame.Plane plane : picture.planes()) {
                frame.planes[number] = pointer(plane.data(), copies);
                frame.strides[number] = plane.stride();
                frame.lengths[number] = plane.data().remaining();
                number++;
            }
            check(abi.emotion_llama_live_push_frame(pointer(live), frame));
        } finally {
            copies.forEach(Memory::close);
            Reference.reachabilityFence(picture);
        }
    }

    void livePush(long live, SampleFormat format, ByteBuffer data, int rate, int channels, double timeS) {
        Samples samples = new Samples();
        samples.size = samples.size();
        samples.format = format.code();
        samples.rate = rate;
        samples.channels = channels;
        samples.time_s = timeS;
        samples.count = data.remaining() / format.bytes();
        List<Memory> copies = new ArrayList<>();
        try {
            samples.data = pointer(data, copies);
            check(abi.emotion_llama_live_push_samples(pointer(live), samples));
        } finally {
            copies.forEach(Memory::close);
            Reference.reachabilityFence(data);
        }
    }

    String liveInfo(long live) {
        return text(out -> abi.emotion_llama_live_info(pointer(live), out));
    }

    void liveClear(long live) {
        abi.emotion_llama_live_clear(pointer(live));
    }

    void liveFree(long live) {
        abi.emotion_llama_live_free(pointer(live));
    }

    /** Sets the log, or turns it off when {@code listener} is null. */
    void setLog(LogLevel level, LogListener listener) {
        LogFunction function = listener == null ? null : logFunction(listener);
        if (LOGGING.get() != null) {
            // The library refuses it. To wait for the lock here could be to wait for a caller who waits for this listener.
            check(abi.emotion_llama_set_log(function, null, level.code()));
            return;
        }
        synchronized (this) {
            check(abi.emotion_llama_set_log(function, null, level.code()));
            // The one before is not called any more from here on.
            log = function;
        }
    }

    private static LogFunction logFunction(LogListener listener) {
        LogFunction function = (userdata, level, target, message) -> {
            LOGGING.set(true);
            try {
                listener.log(LogLevel.of(level), string(target), string(message));
            } catch (Throwable error) {
                Thread thread = Thread.currentThread();
                thread.getUncaughtExceptionHandler().uncaughtException(thread, error);
            } finally {
                LOGGING.remove();
            }
        };
        // The library's threads must not keep the JVM from ending.
        Native.setCallbackThreadInitializer(function, new CallbackThreadInitializer(true, true, "emotion-llama-log"));
        return function;
    }

    private interface Call {
        Pointer call(PointerByReference out);
    }

    private interface WithMedia<T> {
        T call(Media media);
    }

    private static <T> T withMedia(Clip clip, WithMedia<T> call) {
        if (clip == null) {
            return call.call(null);
        }
        Media media = new Media();
        media.size = media.size();
        List<Memory> copies = new ArrayList<>();
        try {
            if (clip instanceof Clip.Bytes bytes) {
                media.data = pointer(bytes.data(), copies);
                media.length = bytes.data().remaining();
            } else if (clip instanceof Clip.OfLive live) {
                media.seconds = live.seconds();
                return live.buffer().handle.use(address -> {
                    media.live = pointer(address);
                    return call.call(media);
                });
            }
            return call.call(media);
        } finally {
            copies.forEach(Memory::close);
            Reference.reachabilityFence(clip);
        }
    }

    /** Where the rest of {@code data} lies: a direct buffer itself, a copy of another. Never NULL, so that no bytes are still bytes. */
    private static Pointer pointer(ByteBuffer data, List<Memory> copies) {
        if (data.isDirect() && data.hasRemaining()) {
            return Native.getDirectBufferPointer(data.slice());
        }
        Memory copy = new Memory(Math.max(1, data.remaining()));
        copies.add(copy);
        copy.getByteBuffer(0, Math.max(1, data.remaining())).put(data.duplicate());
        return copy;
    }

    private long made(Call call) {
        PointerByReference out = new PointerByReference();
        check(call.call(out));
        return Pointer.nativeValue(out.getValue());
    }

    private String text(Call call) {
        PointerByReference out = new PointerByReference();
        check(call.call(out));
        Pointer text = out.getValue();
        if (text == null) {
            return null;
        }
        try {
            int length = Math.toIntExact(abi.emotion_llama_text_length(text));
            return new String(abi.emotion_llama_text_data(text).getByteArray(0, length), StandardCharsets.UTF_8);
        } finally {
            abi.emotion_llama_text_free(text);
        }
    }

    private void check(Pointer status) {
        if (status == null) {
            return;
        }
        try {
            throw new EmotionLLaMAException(abi.emotion_llama_status_code(status),
                    string(abi.emotion_llama_status_name(status)), string(abi.emotion_llama_status_message(status)), null);
        } finally {
            abi.emotion_llama_status_free(status);
        }
    }

    private static Pointer pointer(long address) {
        return address == 0 ? null : new Pointer(address);
    }

    private static String string(Pointer text) {
        return text.getString(0, "UTF-8");
    }
}
