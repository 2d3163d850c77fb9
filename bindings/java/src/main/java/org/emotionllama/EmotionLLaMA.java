package org.emotionllama;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.function.Function;

/**
 * A model that says what a person in a clip feels, and what shows it: loaded here, or of a running server.
 *
 * <pre>{@code
 * try (EmotionLLaMA client = new EmotionLLaMA()) {
 *     Analysis result = client.analyze("clip.mp4");
 *     System.out.println(result.emotion() + " " + result.confidence());
 * }
 * }</pre>
 *
 * <p>May be used by any number of threads at once. To close it waits for nothing: what runs goes on and keeps the model until it is done. Calls
 * that wait run on threads of the client, so they may be made on virtual threads, and an interrupt stops them.
 */
public final class EmotionLLaMA implements AutoCloseable {
    private final Handle handle;

    /**
     * The built-in model: of a model jar on the class path, beside the native library, or what {@code EMOTION_LLAMA_PACK} names.
     *
     * @throws EmotionLLaMAException {@code not_found} when there is none, or no native library
     */
    public EmotionLLaMA() {
        this(Calls.await(builder().load()));
    }

    private EmotionLLaMA(Handle handle) {
        this.handle = handle;
    }

    /**
     * Another model, a server, or options.
     *
     * @return a builder
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Analyses a file and waits for the result.
     *
     * @param videoPath a video, sound or picture file
     * @return the result
     * @throws EmotionLLaMAException when it fails, or when the thread is interrupted ({@code cancelled})
     */
    public Analysis analyze(String videoPath) {
        return analyze(Request.videoPath(videoPath));
    }

    /**
     * Analyses a file and waits for the result.
     *
     * @param videoPath a video, sound or picture file
     * @return the result
     * @throws EmotionLLaMAException when it fails, or when the thread is interrupted ({@code cancelled})
     */
    public Analysis analyze(Path videoPath) {
        return analyze(Request.videoPath(videoPath));
    }

    /**
     * Analyses a clip and waits for the result.
     *
     * @param request the clip, and what is asked of it
     * @return the result
     * @throws EmotionLLaMAException when it fails, or when the thread is interrupted ({@code cancelled})
     */
    public Analysis analyze(Request request) {
        return Calls.await(analyzeAsync(request));
    }

    /**
     * Analyses a clip without waiting.
     *
     * @param request the clip, and what is asked of it
     * @return the result, later, or what it failed with; to cancel it, or {@link CompletableFuture#orTimeout}, stops the library's work
     */
    public CompletableFuture<Analysis> analyzeAsync(Request request) {
        String json = request.json();
        return Calls.start(cancel -> Analysis.fromJson(
                handle.use(engine -> Ffi.get().analyze(engine, json, request.clip(), cancel))));
    }

    /**
     * Analyses a clip and gives its events as they come.
     *
     * @param request the clip, and what is asked of it
     * @return the events; to be closed
     * @throws EmotionLLaMAException when it cannot begin
     */
    public EventStream stream(Request request) {
        return Calls.await(streamAsync(request));
    }

    /**
     * The events of an analysis, which begins when somebody subscribes, once for each who does.
     *
     * @param request the clip, and what is asked of it
     * @return the events; to cancel the subscription stops the library's work
     */
    public Flow.Publisher<Event> publisher(Request request) {
        return new EventPublisher(() -> streamAsync(request));
    }

    /**
     * Begins a conversation about a clip. Takes as long as an analysis without its answer.
     *
     * @param request the clip, and only what concerns it
     * @return the conversation; to be closed
     * @throws EmotionLLaMAException when it fails, or when the thread is interrupted ({@code cancelled})
     */
    public Session session(Request request) {
        return Calls.await(sessionAsync(request));
    }

    /**
     * Begins a conversation about a clip, without waiting.
     *
     * @param request the clip, and only what concerns it
     * @return the conversation, later
     */
    public CompletableFuture<Session> sessionAsync(Request request) {
        String json = request.json();
        return Calls.start(cancel -> new Session(
                handle.use(engine -> Ffi.get().sessionNew(engine, json, request.clip(), cancel))));
    }

    /**
     * What the engine is and can.
     *
     * @return what it is and can
     */
    public EngineInfo info() {
        return Calls.await(Calls.start(cancel -> EngineInfo.fromJson(handle.use(Ffi.get()::engineInfo))));
    }

    /** Lets go of the model, without waiting. May be called again. */
    @Override
    public void close() {
        handle.close();
    }

    /**
     * The version of the native library.
     *
     * @return for example {@code 0.1.0}
     * @throws EmotionLLaMAException {@code not_found} when there is none
     */
    public static String version() {
        return Ffi.get().version();
    }

    /**
     * How many threads each call computes with, for engines that are opened later without saying it.
     *
     * @param threads 0 for one per processor
     */
    public static void setThreadCount(int threads) {
        Ffi.get().setThreadCount(threads);
    }

    /**
     * Takes what the library logs. One for the whole process.
     *
     * @param level up to which level
     * @param listener is called until another one is set; once this returns, the one before is not called any more
     * @throws EmotionLLaMAException {@code invalid_argument}, when called by the listener
     */
    public static void setLog(LogLevel level, LogListener listener) {
        Ffi.get().setLog(level, Objects.requireNonNull(listener));
    }

    /** Turns the log off, as it is in the beginning. */
    public static void clearLog() {
        Ffi.get().setLog(LogLevel.ERROR, null);
    }

    private CompletableFuture<EventStream> streamAsync(Request request) {
        String json = request.json();
        return EventStream.open(
                cancel -> handle.use(engine -> Ffi.get().analyzeStream(engine, json, request.clip(), cancel)));
    }

    /** Which model, and how. */
    public static final class Builder {
        private final JsonObject options = new JsonObject();
        private final List<Path> search = new ArrayList<>();
        private ProgressListener listener;

        private Builder() {}

        /**
         * A pack.
         *
         * @param pack a directory, or a name that is looked for
         * @return this
         */
        public Builder pack(String pack) {
            options.addProperty("source", pack);
            return this;
        }

        /**
         * A pack.
         *
         * @param pack a directory
         * @return this
         */
        public Builder pack(Path pack) {
            return pack(pack.toAbsolutePath().toString());
        }

        /**
         * A running server.
         *
         * @param apiUrl for example {@code http://localhost:7889}
         * @return this
         */
        public Builder apiUrl(String apiUrl) {
            options.addProperty("source", apiUrl);
            return this;
        }

        /**
         * The server's key.
         *
         * @param apiKey is sent to no other server
         * @return this
         */
        public Builder apiKey(String apiKey) {
            options.addProperty("api_key", apiKey);
            return this;
        }

        /**
         * The longest that a call to a server may take.
         *
         * @param timeout from its beginning to its end
         * @return this
         */
        public Builder timeout(Duration timeout) {
            options.addProperty("timeout_s", seconds(timeout));
            return this;
        }

        /**
         * The longest that it may take to reach a server.
         *
         * @param timeout for name and connection
         * @return this
         */
        public Builder connectTimeout(Duration timeout) {
            options.addProperty("connect_timeout_s", seconds(timeout));
            return this;
        }

        /**
         * The certificates by one of which the server's must be signed.
         *
         * @param caFile a PEM file
         * @return this
         */
        public Builder caFile(Path caFile) {
            options.addProperty("ca_file", caFile.toString());
            return this;
        }

        /**
         * Whether local files are sent to a server.
         *
         * @param upload whether
         * @return this
         */
        public Builder upload(Upload upload) {
            options.addProperty("upload", upload.label());
            return this;
        }

        /**
         * Where packs are looked for that are named, beside the places where they are looked for anyway.
         *
         * @param directories directories of packs
         * @return this
         */
        public Builder search(List<Path> directories) {
            search.addAll(directories);
            return this;
        }

        /**
         * Whether the checksums of a pack's files are compared.
         *
         * @param verify true if it is not said
         * @return this
         */
        public Builder verify(boolean verify) {
            options.addProperty("verify", verify);
            return this;
        }

        /**
         * How many threads each call computes with.
         *
         * @param threads 0 for one per processor
         * @return this
         */
        public Builder threads(int threads) {
            options.addProperty("threads", threads);
            return this;
        }

        /**
         * Where it computes.
         *
         * @param device {@code auto} (a graphics processor if one can be used, the default), {@code cpu}, {@code cuda}, {@code cuda:1} or
         *     {@code cuda:UUID}
         * @return this
         */
        public Builder device(String device) {
            options.addProperty("device", device);
            return this;
        }

        /**
         * Is told how far the load is.
         *
         * @param progress what is told
         * @return this
         */
        public Builder progress(ProgressListener progress) {
            listener = progress;
            return this;
        }

        /**
         * Loads the model, or makes ready to speak to the server.
         *
         * @return a client; to be closed
         * @throws EmotionLLaMAException when it fails, or when the thread is interrupted ({@code cancelled})
         */
        public EmotionLLaMA open() {
            return Calls.await(openAsync());
        }

        /**
         * As {@link #open}, without waiting.
         *
         * @return a client, later; to cancel it stops the load
         */
        public CompletableFuture<EmotionLLaMA> openAsync() {
            return load(EmotionLLaMA::new);
        }

        private CompletableFuture<Handle> load() {
            return load(Function.identity());
        }

        private <T> CompletableFuture<T> load(Function<Handle, T> made) {
            JsonObject given = options.deepCopy();
            List<Path> directories = List.copyOf(search);
            ProgressListener told = listener;
            return Calls.start(cancel -> made.apply(load(given, directories, told, cancel)));
        }

        private static Handle load(JsonObject options, List<Path> search, ProgressListener listener, long cancel) {
            Ffi ffi = Ffi.get();
            if (!options.has("source")) {
                options.addProperty("source", Packs.builtIn(ffi.file(), System::getenv).toString());
            }
            String source = options.get("source").getAsString();
            if (!source.contains("://")) {
                List<Path> directories = new ArrayList<>(search);
                if (isName(source)) {
                    NativeFiles.pack(source).ifPresent(pack -> options.addProperty("source", pack.toString()));
                    directories.addAll(Packs.beside(ffi.file()));
                }
                JsonArray array = new JsonArray();
                directories.forEach(directory -> array.add(directory.toString()));
                options.add("search", array);
            }
            return new Handle("client", ffi.engineOpen(options.toString(), cancel, listener), ffi::engineFree);
        }

        private static boolean isName(String source) {
            return source.matches("[A-Za-z0-9][A-Za-z0-9._-]*") && !Files.exists(Path.of(source));
        }

        private static double seconds(Duration duration) {
            return duration.toNanos() / 1e9;
        }
    }
}
