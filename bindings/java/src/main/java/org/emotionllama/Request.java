package org.emotionllama;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/**
 * A clip, and what is asked of it. It is not changed: each method gives a new request, so one may be kept and used by several threads.
 *
 * <pre>{@code
 * Request.videoPath("clip.mp4").task(Task.REASON).maxNewTokens(200)
 * }</pre>
 *
 * <p>What is not said has the library's default. Values are checked by the library, when the request is used.
 */
public final class Request {
    private final JsonObject fields;
    private final Clip clip;

    private Request(JsonObject fields, Clip clip) {
        this.fields = fields;
        this.clip = clip;
    }

    /**
     * About a file.
     *
     * @param path a video, sound or picture file; for a server it may be a file of its machine
     * @return a request
     */
    public static Request videoPath(String path) {
        return new Request(new JsonObject(), null).with("path", new JsonPrimitive(path));
    }

    /**
     * About a file.
     *
     * @param path a video, sound or picture file
     * @return a request
     */
    public static Request videoPath(Path path) {
        return videoPath(path.toString());
    }

    /**
     * About the bytes of a file.
     *
     * @param bytes a video, sound or picture file; not to be changed while the request is used
     * @return a request
     */
    public static Request video(byte[] bytes) {
        return video(ByteBuffer.wrap(bytes));
    }

    /**
     * About the bytes of a file.
     *
     * @param bytes from position to limit, which are not changed; a direct buffer is read where it lies, another one is copied first. The
     *     content is not to be changed while the request is used.
     * @return a request
     */
    public static Request video(ByteBuffer bytes) {
        return new Request(new JsonObject(), new Clip.Bytes(bytes.slice()));
    }

    /**
     * About the bytes of a file.
     *
     * @param stream is read to its end now; it is not closed
     * @return a request
     * @throws IOException when it cannot be read
     */
    public static Request video(InputStream stream) throws IOException {
        return video(stream.readAllBytes());
    }

    /**
     * About all that a live buffer holds when the request is used.
     *
     * @param live the buffer
     * @return a request
     */
    public static Request live(Live live) {
        return live(live, 0);
    }

    /**
     * About the last seconds that a live buffer holds when the request is used.
     *
     * @param live the buffer
     * @param seconds how many; 0 for all
     * @return a request
     */
    public static Request live(Live live, double seconds) {
        return new Request(new JsonObject(), new Clip.OfLive(Objects.requireNonNull(live), seconds));
    }

    /**
     * About the clip of a {@link Session}.
     *
     * @param prompt the question
     * @return a request
     */
    public static Request question(String prompt) {
        return question().prompt(prompt);
    }

    /**
     * About the clip of a {@link Session}, with the default question.
     *
     * @return a request
     */
    public static Request question() {
        return new Request(new JsonObject(), null);
    }

    /**
     * What is asked.
     *
     * @param task the task
     * @return a new request
     */
    public Request task(Task task) {
        return task(task.label());
    }

    /**
     * What is asked.
     *
     * @param task {@code emotion} or {@code reason}
     * @return a new request
     */
    public Request task(String task) {
        return with("task", new JsonPrimitive(task));
    }

    /**
     * The question in words; may begin with {@code [emotion]} or {@code [reason]}.
     *
     * @param prompt the question
     * @return a new request
     */
    public Request prompt(String prompt) {
        return with("prompt", new JsonPrimitive(prompt));
    }

    /**
     * What is said in the clip.
     *
     * @param transcript {@code auto} to listen, {@code none}, or the words
     * @return a new request
     */
    public Request transcript(String transcript) {
        return with("transcript", new JsonPrimitive(transcript));
    }

    /**
     * Which labels there are to choose from.
     *
     * @param labels two or more words
     * @return a new request
     */
    public Request labels(List<String> labels) {
        JsonArray array = new JsonArray();
        labels.forEach(array::add);
        return with("labels", array);
    }

    /**
     * Which frame is described.
     *
     * @param frame {@code peak}, {@code first} or {@code middle}
     * @return a new request
     */
    public Request frame(String frame) {
        return with("frame", new JsonPrimitive(frame));
    }

    /**
     * Which frame is described.
     *
     * @param seconds its time, from the start
     * @return a new request
     */
    public Request frame(double seconds) {
        return with("frame", number(seconds));
    }

    /**
     * In which of the ways that the published model knows the question is put.
     *
     * @param promptPath {@code train}, {@code eval} or {@code demo}
     * @return a new request
     */
    public Request promptPath(String promptPath) {
        return with("prompt_path", new JsonPrimitive(promptPath));
    }

    /**
     * Features that were computed elsewhere.
     *
     * @param features the features
     * @return a new request
     */
    public Request features(Features features) {
        return with("features", Json.from(features));
    }

    /**
     * How long the answer may be.
     *
     * @param tokens the most tokens
     * @return a new request
     */
    public Request maxNewTokens(int tokens) {
        return with("max_new_tokens", new JsonPrimitive(tokens));
    }

    /**
     * How freely the answer is written.
     *
     * @param temperature 0 or more
     * @return a new request
     */
    public Request temperature(double temperature) {
        return with("temperature", number(temperature));
    }

    /**
     * The probability of the words from which the next one is drawn.
     *
     * @param topP 0 to 1
     * @return a new request
     */
    public Request topP(double topP) {
        return with("top_p", number(topP));
    }

    /**
     * The number of words from which the next one is drawn.
     *
     * @param topK 0 for all
     * @return a new request
     */
    public Request topK(int topK) {
        return with("top_k", new JsonPrimitive(topK));
    }

    /**
     * How much words that were written are avoided.
     *
     * @param penalty 1 for not at all
     * @return a new request
     */
    public Request repetitionPenalty(double penalty) {
        return with("repetition_penalty", number(penalty));
    }

    /**
     * Where chance begins: the same seed gives the same answer.
     *
     * @param seed a number, taken as unsigned
     * @return a new request
     */
    public Request seed(long seed) {
        return with("seed", new JsonPrimitive(new java.math.BigInteger(Long.toUnsignedString(seed))));
    }

    /**
     * Whether the likeliest word is always taken.
     *
     * @param greedy whether it is
     * @return a new request
     */
    public Request greedy(boolean greedy) {
        return with("greedy", new JsonPrimitive(greedy));
    }

    /**
     * How large the file may be.
     *
     * @param limits the limits
     * @return a new request
     */
    public Request limits(Limits limits) {
        return with("limits", Json.from(limits));
    }

    /**
     * A field that a later library has and this client does not know.
     *
     * @param name its name in JSON
     * @param json its value in JSON
     * @return a new request
     */
    public Request field(String name, String json) {
        return with(name, Json.object("{\"value\": " + json + "}").get("value"));
    }

    /** The fields, without what was given as bytes. */
    @Override
    public String toString() {
        return json();
    }

    String json() {
        return fields.toString();
    }

    Clip clip() {
        return clip;
    }

    private Request with(String name, JsonElement value) {
        JsonObject changed = fields.deepCopy();
        changed.add(name, value);
        return new Request(changed, clip);
    }

    /** JSON has no NaN and no infinity. */
    private static JsonPrimitive number(double value) {
        if (!Double.isFinite(value)) {
            throw new EmotionLLaMAException(ErrorCode.INVALID_ARGUMENT, value + " is no number that can be used", null);
        }
        return new JsonPrimitive(value);
    }
}
