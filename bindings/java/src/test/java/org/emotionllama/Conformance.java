package org.emotionllama;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/**
 * Runs the cases of conformance/cases, as conformance/README.md says, and prints a line for each. Arguments: modes ({@code embedded},
 * {@code server}; both without), and names of cases (all without).
 */
final class Conformance {
    private static final double SUM_TOLERANCE = 1e-3;
    private static final double SAME_TOLERANCE = 1e-6;
    private static final double CONCURRENT_TOLERANCE = 1e-5;

    private final String mode;
    private final Map<String, String> places = new HashMap<>();
    private EmotionLLaMA shared;

    private Conformance(String mode, String source, String server) {
        this.mode = mode;
        places.put("source", source);
        places.put("pack", Places.pack().toString());
        places.put("clips", Places.clip().getParent().toString());
        places.put("files", Places.repository("conformance/files").toString());
        places.put("server", server);
    }

    public static void main(String[] arguments) throws Exception {
        List<String> given = Arrays.asList(arguments);
        List<String> modes = new ArrayList<>(List.of("embedded", "server"));
        if (given.stream().anyMatch(modes::contains)) {
            modes.retainAll(given);
        }
        List<String> names = given.stream().filter(name -> !List.of("embedded", "server").contains(name)).toList();
        List<Path> files;
        try (var listed = Files.list(Places.repository("conformance/cases"))) {
            files = listed.filter(file -> file.toString().endsWith(".json")).sorted().toList();
        }
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        int failed = 0;
        for (String mode : modes) {
            try (Server server = mode.equals("server") ? Server.start() : null) {
                String url = server == null ? "" : server.url;
                Conformance runner = new Conformance(mode, server == null ? Places.pack().toString() : url, url);
                try {
                    for (Path file : files) {
                        JsonObject test = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
                        String name = test.get("name").getAsString();
                        if (names.isEmpty() || names.contains(name)) {
                            String outcome = runner.outcome(test);
                            out.println("java " + mode + " " + name + " " + outcome);
                            failed += outcome.startsWith("FAILED") ? 1 : 0;
                        }
                    }
                } finally {
                    if (runner.shared != null) {
                        runner.shared.close();
                    }
                }
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    /** The stub server: the one that the environment names, or one that ends with its standard input. */
    private record Server(String url, Process process) implements AutoCloseable {
        static Server start() throws IOException {
            String said = System.getenv("EMOTION_LLAMA_SERVER");
            if (said != null && !said.isEmpty()) {
                return new Server(said, null);
            }
            Process process = new ProcessBuilder("python3", Places.repository("conformance/server.py").toString())
                    .redirectError(ProcessBuilder.Redirect.INHERIT).start();
            String line = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8)).readLine();
            if (line == null || !line.startsWith("listening on ")) {
                throw new IOException("the stub server says " + line);
            }
            return new Server(line.substring("listening on ".length()).trim(), process);
        }

        @Override
        public void close() throws IOException {
            if (process != null) {
                process.getOutputStream().close();
                process.onExit().join();
            }
        }
    }

    private static final class Mismatch extends RuntimeException {
        private static final long serialVersionUID = 1;

        Mismatch(String message) {
            super(message);
        }
    }

    /** What the types of this language do not let be written. */
    private static final class NotWritten extends RuntimeException {
        private static final long serialVersionUID = 1;

        NotWritten(String message) {
            super(message);
        }
    }

    private String outcome(JsonObject unfilled) {
        if (unfilled.has("modes") && unfilled.getAsJsonArray("modes").asList().stream().noneMatch(of -> of.getAsString().equals(mode))) {
            return "-";
        }
        JsonObject test = filled(unfilled).getAsJsonObject();
        try {
            run(test);
            return "ok";
        } catch (NotWritten refused) {
            boolean may = test.has("types_may_refuse") && test.get("types_may_refuse").getAsBoolean();
            return (may ? "n/a " : "FAILED ") + refused.getMessage();
        } catch (Exception error) {
            return "FAILED " + String.valueOf(error).replace('\n', ' ');
        }
    }

    private JsonElement filled(JsonElement element) {
        if (element.isJsonObject()) {
            JsonObject object = new JsonObject();
            element.getAsJsonObject().entrySet().forEach(field -> object.add(field.getKey(), filled(field.getValue())));
            return object;
        }
        if (element.isJsonArray()) {
            JsonArray array = new JsonArray();
            element.getAsJsonArray().forEach(of -> array.add(filled(of)));
            return array;
        }
        if (element.isJsonPrimitive() && element.getAsJsonPrimitive().isString()) {
            String text = element.getAsString();
            for (Map.Entry<String, String> place : places.entrySet()) {
                text = text.replace("${" + place.getKey() + "}", place.getValue());
            }
            return new JsonPrimitive(text);
        }
        return element;
    }

    private void run(JsonObject test) throws Exception {
        JsonObject expect = test.getAsJsonObject("expect");
        try {
            perform(test, expect);
        } catch (EmotionLLaMAException error) {
            if (!expect.has("error")) {
                throw error;
            }
            check(error, expect.getAsJsonObject("error"));
            return;
        }
        if (expect.has("error")) {
            throw new Mismatch("no error");
        }
    }

    private void perform(JsonObject test, JsonObject expect) throws Exception {
        if (!test.has("open")) {
            if (shared == null) {
                shared = EmotionLLaMA.builder().pack(places.get("source")).open();
            }
            perform(shared, test, expect);
            return;
        }
        try (EmotionLLaMA own = open(test.getAsJsonObject("open"))) {
            perform(own, test, expect);
        }
    }

    private void perform(EmotionLLaMA client, JsonObject test, JsonObject expect) throws Exception {
        String call = test.has("call") ? test.get("call").getAsString() : "analyze";
        if (call.equals("open")) {
            check(client.info(), expect);
            return;
        }
        try (Live live = live(test)) {
            Request request = request(clip(test, live), test.getAsJsonObject("request"));
            switch (call) {
                case "analyze" -> analyze(client, request, test, expect);
                case "stream" -> stream(client, request, test, expect);
                case "session" -> session(client, request, test);
                default -> throw new Mismatch("a call " + call + " that this runner does not know");
            }
        }
    }

    private void analyze(EmotionLLaMA client, Request request, JsonObject test, JsonObject expect) {
        if (test.has("cancel")) {
            // The way to cancel a call that waits is to interrupt its thread.
            Thread.currentThread().interrupt();
            try {
                client.analyze(request);
            } finally {
                Thread.interrupted();
            }
            return;
        }
        int count = test.has("concurrent") ? test.get("concurrent").getAsInt() : 1;
        if (count == 1) {
            check(client.analyze(request), expect);
            return;
        }
        List<CompletableFuture<Analysis>> futures = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            futures.add(client.analyzeAsync(request));
        }
        Analysis first = futures.get(0).join();
        for (CompletableFuture<Analysis> future : futures) {
            Analysis result = future.join();
            check(result, expect);
            equal("response", first.response(), result.response());
            first.probabilities().forEach((label, value) -> near(label, value, result.probabilities().get(label), CONCURRENT_TOLERANCE));
        }
    }

    private void stream(EmotionLLaMA client, Request request, JsonObject test, JsonObject expect) {
        String cancelAt = test.has("cancel") ? test.get("cancel").getAsString() : "";
        List<String> events = new ArrayList<>();
        StringBuilder text = new StringBuilder();
        Event.Label label = null;
        Analysis result = null;
        try (EventStream stream = client.stream(request)) {
            if (cancelAt.equals("before")) {
                stream.cancel();
            }
            for (Event event : stream) {
                if (result != null) {
                    throw new Mismatch(event + " after the result");
                }
                if (event instanceof Event.Stage stage) {
                    if (stage.stage().equals(cancelAt)) {
                        stream.cancel();
                    }
                    if (!stage.stage().equals("upload")) {
                        events.add(stage.stage());
                    }
                } else if (event instanceof Event.Label known) {
                    label = known;
                    events.add("label");
                } else if (event instanceof Event.Text piece) {
                    text.append(piece.text());
                    if (events.isEmpty() || !events.get(events.size() - 1).equals("text")) {
                        events.add("text");
                    }
                } else if (event instanceof Event.Result end) {
                    result = end.analysis();
                    events.add("result");
                }
            }
        }
        if (result == null) {
            throw new Mismatch("no result");
        }
        equal("the pieces of text", result.response(), text.toString());
        if (label != null) {
            equal("the label", result.emotion(), label.emotion());
            equal("its probability", result.confidence(), label.confidence());
            equal("the probabilities", result.probabilities(), label.probabilities());
        }
        check(result, expect);
        if (expect.has("events")) {
            equal("events", strings(expect.get("events")), events);
        }
    }

    private void session(EmotionLLaMA client, Request request, JsonObject test) {
        try (Session session = client.session(request)) {
            for (JsonElement element : test.has("questions") ? test.getAsJsonArray("questions") : new JsonArray()) {
                JsonObject question = element.getAsJsonObject();
                if (question.has("reset") && question.get("reset").getAsBoolean()) {
                    session.reset();
                }
                JsonObject expect = question.getAsJsonObject("expect");
                Analysis result;
                try {
                    result = session.ask(request(Request.question(), question.getAsJsonObject("request")));
                } catch (EmotionLLaMAException error) {
                    if (!expect.has("error")) {
                        throw error;
                    }
                    check(error, expect.getAsJsonObject("error"));
                    continue;
                }
                if (expect.has("error")) {
                    throw new Mismatch("no error");
                }
                check(result, expect);
            }
        }
    }

    private static EmotionLLaMA open(JsonObject options) {
        EmotionLLaMA.Builder builder = EmotionLLaMA.builder();
        for (Map.Entry<String, JsonElement> option : options.entrySet()) {
            JsonElement value = option.getValue();
            switch (option.getKey()) {
                case "source" -> {
                    if (value.getAsString().contains("://")) {
                        builder.apiUrl(value.getAsString());
                    } else {
                        builder.pack(value.getAsString());
                    }
                }
                case "api_key" -> builder.apiKey(value.getAsString());
                case "timeout_s" -> builder.timeout(Duration.ofNanos((long) (value.getAsDouble() * 1e9)));
                case "connect_timeout_s" -> builder.connectTimeout(Duration.ofNanos((long) (value.getAsDouble() * 1e9)));
                case "ca_file" -> builder.caFile(Path.of(value.getAsString()));
                case "upload" -> builder.upload(Upload.valueOf(value.getAsString().toUpperCase(java.util.Locale.ROOT)));
                case "verify" -> builder.verify(value.getAsBoolean());
                case "threads" -> builder.threads(value.getAsInt());
                case "search" -> builder.search(strings(value).stream().map(Path::of).toList());
                default -> throw new NotWritten("the builder has no " + option.getKey());
            }
        }
        return builder.open();
    }

    private static Live live(JsonObject test) {
        JsonObject clip = test.getAsJsonObject("clip");
        if (clip == null || !clip.has("live")) {
            return null;
        }
        JsonObject said = clip.getAsJsonObject("live");
        JsonObject options = said.getAsJsonObject("options");
        Live live = new Live(new LiveOptions(number(options, "seconds"), options.has("max_side") ? options.get("max_side").getAsInt() : null,
                number(options, "max_frames_per_second")));
        JsonObject pictures = said.getAsJsonObject("pictures");
        if (pictures != null) {
            push(live, pictures);
        }
        JsonObject sound = said.getAsJsonObject("sound");
        if (sound != null) {
            pushSound(live, sound);
        }
        JsonObject info = said.getAsJsonObject("info");
        if (info != null && info.has("frames")) {
            equal("info.frames", info.get("frames").getAsInt(), live.info().frames());
        }
        if (info != null && info.has("duration_s")) {
            near("info.duration_s", info.get("duration_s").getAsDouble(), live.info().durationS(), SAME_TOLERANCE);
        }
        return live;
    }

    private static void push(Live live, JsonObject pictures) {
        int width = pictures.get("width").getAsInt();
        int height = pictures.get("height").getAsInt();
        PixelFormat format = PixelFormat.valueOf(pictures.get("format").getAsString().toUpperCase(java.util.Locale.ROOT));
        int channels = format == PixelFormat.GRAY ? 1 : 3;
        for (int i = 0; i < pictures.get("count").getAsInt(); i++) {
            byte[] pixels = new byte[width * height * channels];
            int at = 0;
            for (int y = 0; y < height; y++) {
                for (int x = 0; x < width; x++) {
                    for (int c = 0; c < channels; c++) {
                        pixels[at++] = (byte) (3 * x + 5 * y + 7 * i + 40 * c);
                    }
                }
            }
            live.push(Frame.of(format, width, height, i / pictures.get("per_second").getAsDouble(), pixels));
        }
    }

    private static void pushSound(Live live, JsonObject sound) {
        int rate = sound.get("rate").getAsInt();
        int channels = sound.get("channels").getAsInt();
        int pieces = sound.get("pieces").getAsInt();
        int length = (int) Math.round(rate * sound.get("seconds").getAsDouble() / pieces);
        boolean floats = sound.get("format").getAsString().equals("f32");
        for (int piece = 0; piece < pieces; piece++) {
            ByteBuffer samples = ByteBuffer.allocateDirect(length * channels * (floats ? 4 : 2)).order(ByteOrder.nativeOrder());
            for (int n = piece * length; n < (piece + 1) * length; n++) {
                short value = (short) ((n % 64 - 32) * 256);
                for (int channel = 0; channel < channels; channel++) {
                    if (floats) {
                        samples.putFloat(value / 32768f);
                    } else {
                        samples.putShort(value);
                    }
                }
            }
            live.push(floats ? SampleFormat.F32 : SampleFormat.I16, samples.flip(), rate, channels, (double) piece * length / rate);
        }
    }

    private static Request clip(JsonObject test, Live live) throws IOException {
        JsonObject clip = test.getAsJsonObject("clip");
        if (clip == null) {
            return Request.question();
        }
        if (live != null) {
            Double seconds = number(clip.getAsJsonObject("live"), "seconds");
            return seconds == null ? Request.live(live) : Request.live(live, seconds);
        }
        if (clip.has("path")) {
            return Request.videoPath(clip.get("path").getAsString());
        }
        if (clip.has("base64")) {
            return Request.video(Base64.getDecoder().decode(clip.get("base64").getAsString()));
        }
        byte[] bytes = Files.readAllBytes(Path.of(clip.get("bytes_of").getAsString()));
        return Request.video(clip.has("first") ? Arrays.copyOf(bytes, Math.min(bytes.length, clip.get("first").getAsInt())) : bytes);
    }

    private static Request request(Request request, JsonObject fields) {
        for (Map.Entry<String, JsonElement> field : fields == null ? List.<Map.Entry<String, JsonElement>>of() : fields.entrySet()) {
            JsonElement value = field.getValue();
            boolean number = value.isJsonPrimitive() && value.getAsJsonPrimitive().isNumber();
            request = switch (field.getKey()) {
                case "task" -> request.task(value.getAsString());
                case "prompt" -> request.prompt(value.getAsString());
                case "transcript" -> request.transcript(value.getAsString());
                case "labels" -> request.labels(strings(value));
                case "frame" -> number ? request.frame(value.getAsDouble()) : request.frame(value.getAsString());
                case "prompt_path" -> request.promptPath(value.getAsString());
                case "max_new_tokens" -> request.maxNewTokens(value.getAsInt());
                case "temperature" -> {
                    if (!number) {
                        throw new NotWritten("temperature is a double");
                    }
                    yield request.temperature(value.getAsDouble());
                }
                case "top_p" -> request.topP(value.getAsDouble());
                case "top_k" -> request.topK(value.getAsInt());
                case "repetition_penalty" -> request.repetitionPenalty(value.getAsDouble());
                case "seed" -> request.seed(value.getAsBigInteger().longValue());
                case "greedy" -> request.greedy(value.getAsBoolean());
                case "limits" -> request.limits(Json.as(value.getAsJsonObject(), Limits.class));
                case "features" -> request.features(Json.as(value.getAsJsonObject(), Features.class));
                // For fields of later libraries; a misspelt one is the library's to refuse.
                default -> request.field(field.getKey(), value.toString());
            };
        }
        return request;
    }

    private static void check(EmotionLLaMAException error, JsonObject expect) {
        if (expect.has("name")) {
            equal("error name (" + error.getMessage() + ")", expect.get("name").getAsString(), error.name());
        }
        if (expect.has("code")) {
            equal("error code", expect.get("code").getAsInt(), error.code());
        }
        if (expect.has("http_status")) {
            equal("HTTP status", expect.get("http_status").getAsInt(), error.httpStatus());
        }
        if (expect.has("message_has") && !error.getMessage().contains(expect.get("message_has").getAsString())) {
            throw new Mismatch("the message has no " + expect.get("message_has") + ": " + error.getMessage());
        }
    }

    private static void check(EngineInfo info, JsonObject expect) {
        if (!expect.has("info")) {
            return;
        }
        JsonObject said = expect.getAsJsonObject("info");
        if (said.has("labels")) {
            equal("labels", strings(said.get("labels")), info.labels());
        }
        if (said.has("tasks")) {
            equal("tasks", strings(said.get("tasks")), info.tasks());
        }
        if (said.has("pack")) {
            equal("pack.name", said.getAsJsonObject("pack").get("name").getAsString(), info.pack().name());
        }
    }

    private static void check(Analysis result, JsonObject expect) {
        boolean unknown = expect.has("confidence") && expect.get("confidence").isJsonNull();
        if (unknown) {
            equal("confidence", null, result.confidence());
            equal("probabilities", Map.of(), result.probabilities());
        } else {
            double greatest = result.probabilities().values().stream().mapToDouble(p -> p).max().orElseThrow();
            near("confidence", greatest, result.confidence(), SAME_TOLERANCE);
            near("probability of the emotion", greatest, result.probabilities().get(result.emotion()), SAME_TOLERANCE);
            near("sum", 1, result.probabilities().values().stream().mapToDouble(p -> p).sum(), SUM_TOLERANCE);
        }
        for (Map.Entry<String, JsonElement> field : expect.entrySet()) {
            JsonElement value = field.getValue();
            switch (field.getKey()) {
                case "emotion" -> equal("emotion", value.getAsString(), result.emotion());
                case "response" -> equal("response", value.getAsString(), result.response());
                case "language" -> equal("language", text(value), result.language());
                case "transcript" -> equal("transcript", text(value), result.transcript());
                case "response_begins" -> equal("response begins", true, result.response().startsWith(value.getAsString()));
                case "explanation" -> equal("explanation", value.getAsString(), result.explanation().isEmpty() ? "none" : "some");
                case "cues" -> equal("cues", value.getAsString(), result.cues().isEmpty() ? "none" : "some");
                case "cached_tokens" -> equal("cached tokens", value.getAsString(), result.usage().cachedTokens() == 0 ? "none" : "some");
                case "labels" -> equal("labels", strings(value), List.copyOf(result.probabilities().keySet()));
                case "probabilities" -> {
                    JsonObject said = value.getAsJsonObject();
                    equal("labels", List.copyOf(said.keySet()), List.copyOf(result.probabilities().keySet()));
                    double tolerance = expect.get("tolerance").getAsDouble();
                    said.entrySet().forEach(label -> near(
                            label.getKey(), label.getValue().getAsDouble(), result.probabilities().get(label.getKey()), tolerance));
                }
                case "faces" -> equal("faces", value.getAsInt(), result.faces().size());
                case "frame" -> equal("frame", value.getAsBoolean(), result.frame() != null);
                case "notes" -> equal("notes", strings(value), result.notes().stream().map(Analysis.Note::name).toList());
                case "model" -> {
                    String name = result.model() == null || "".equals(result.model().name()) ? null : result.model().name();
                    equal("model", text(value), name);
                }
                case "confidence", "tolerance", "events", "info" -> { }
                default -> throw new Mismatch("an expectation " + field.getKey() + " that this runner does not know");
            }
        }
    }

    private static void equal(String what, Object expected, Object given) {
        if (!java.util.Objects.equals(expected, given)) {
            throw new Mismatch(what + " is " + given + ", not " + expected);
        }
    }

    private static void near(String what, double expected, Double given, double tolerance) {
        if (given == null || !(Math.abs(expected - given) <= tolerance)) {
            throw new Mismatch(what + " is " + given + ", not " + expected + " to " + tolerance);
        }
    }

    private static String text(JsonElement value) {
        return value.isJsonNull() ? null : value.getAsString();
    }

    private static Double number(JsonObject object, String name) {
        return object.has(name) ? object.get(name).getAsDouble() : null;
    }

    private static List<String> strings(JsonElement array) {
        return array.getAsJsonArray().asList().stream().map(JsonElement::getAsString).toList();
    }
}
